"use strict";
/* Counts what is ticked on a contact sheet. Without it the buttons do the same. */
(() => {
    const form = document.getElementById("chosen");
    if (!form) return;
    const boxes = () => [...form.querySelectorAll("input[name=render]")];
    const said = document.getElementById("ticked");
    const all = document.getElementById("tick-all");

    function count() {
        const ticked = boxes().filter((box) => box.checked).length;
        if (ticked) said.textContent = `${ticked} ticked`;
        all.textContent = ticked ? "Untick all" : "Tick all shown";
    }
    all.hidden = false;
    all.addEventListener("click", () => {
        const none = !boxes().some((box) => box.checked);
        for (const box of boxes()) box.checked = none;
        count();
        if (!none) said.textContent = "0 ticked";
    });
    form.addEventListener("change", count);
    count(); // what the browser has kept ticked
})();
