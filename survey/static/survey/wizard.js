"use strict";
// The study wizard works without this. It counts the ticked pictures, and saves a step
// that was changed before another one is opened from the bar.
(() => {
  const form = document.getElementById("step");
  if (!form) return;
  let changed = false;
  form.addEventListener("change", () => {
    changed = true;
    const ticked = document.getElementById("ticked");
    if (!ticked) return;
    const here = form.querySelectorAll("input[name=render]:checked").length;
    ticked.textContent = here + Number(ticked.dataset.elsewhere);
  });
  document.querySelector(".nst-steps").addEventListener("click", (event) => {
    const link = event.target.closest("a");
    if (!link || !changed || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    const step = document.createElement("input");
    step.type = "hidden";
    step.name = "go";
    step.value = link.pathname.split("/").at(-2);
    form.append(step);
    form.submit();
  });
})();
