"use strict";
/* A picture's focus is chosen by clicking on it; the two numbers below do the same for
   a keyboard. Shows the square that would be cut. */
(() => {
    const stage = document.querySelector(".nst-focus");
    const fields = ["id_focus_x", "id_focus_y"].map((id) => document.getElementById(id));
    if (!stage || !fields.every(Boolean)) return;

    const size = [Number(stage.dataset.width), Number(stage.dataset.height)];
    const side = Math.min(...size);
    const [cut, point] = ["cut", "point"].map((name) => {
        const mark = stage.appendChild(document.createElement("span"));
        mark.className = `nst-focus-${name}`;
        return mark;
    });
    const clamped = (value, most) => Math.min(most, Math.max(0, value));

    function show() {
        const focus = fields.map((field) => clamped(Number(field.value) || 0, 1));
        ["left", "top"].forEach((edge, axis) => {
            const free = size[axis] - side;
            const start = clamped(focus[axis] * size[axis] - side / 2, free);
            cut.style[edge] = `${(100 * start) / size[axis]}%`;
            cut.style[axis ? "height" : "width"] = `${(100 * side) / size[axis]}%`;
            point.style[edge] = `${100 * focus[axis]}%`;
        });
    }
    stage.addEventListener("click", (event) => {
        const box = stage.getBoundingClientRect();
        const at = [
            (event.clientX - box.left) / box.width,
            (event.clientY - box.top) / box.height,
        ];
        fields.forEach((field, axis) => {
            field.value = Number(clamped(at[axis], 1).toFixed(3));
        });
        show();
    });
    for (const field of fields) field.addEventListener("input", show);
    stage.classList.add("nst-focus-live");
    show();
})();
