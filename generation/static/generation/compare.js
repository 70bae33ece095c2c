"use strict";
/* Pictures side by side under one magnifying glass: they zoom and move together.
   The browser scrolls, so that touch, wheel and arrow keys work as everywhere. */
(() => {
    const views = [...document.querySelectorAll(".nst-view")];
    const scale = document.getElementById("scale");
    const MOST = 16;
    let zoom = 1; // 1 shows a whole picture
    let leader = null;

    const picture = (view) => view.querySelector("img");
    const shares = (view) => [
        (view.scrollLeft + view.clientWidth / 2) / view.scrollWidth,
        (view.scrollTop + view.clientHeight / 2) / view.scrollHeight,
    ];
    function centre(view, [x, y]) {
        view.scrollLeft = x * view.scrollWidth - view.clientWidth / 2;
        view.scrollTop = y * view.scrollHeight - view.clientHeight / 2;
    }
    function show(wanted) {
        const middle = shares(views[0]);
        zoom = Math.min(MOST, Math.max(1, wanted));
        for (const view of views) {
            picture(view).style.width = `${100 * zoom}%`;
            view.classList.toggle("nst-zoomed", zoom > 1);
        }
        leader = null;
        for (const view of views) centre(view, middle);
        scale.textContent = `${Math.round(100 * zoom)} %`;
    }
    const native = () => picture(views[0]).naturalWidth / views[0].clientWidth;
    const doing = {
        in: () => show(zoom * 1.5),
        out: () => show(zoom / 1.5),
        fit: () => show(1),
        native: () => show(native() * Math.max(1, Math.ceil(1 / native()))),
    };

    for (const cut of document.querySelectorAll("[data-place]"))
        cut.style.objectPosition = cut.dataset.place;
    document.getElementById("zoom").hidden = false;
    document.getElementById("zoom").addEventListener("click", (event) => {
        const named = event.target.closest("[data-zoom]");
        if (named) doing[named.dataset.zoom]();
    });
    document.addEventListener("keydown", (event) => {
        if (event.ctrlKey || event.metaKey || event.altKey) return;
        const name = { "+": "in", "=": "in", "-": "out", 0: "fit", 1: "native" }[event.key];
        if (name) doing[name]();
    });

    for (const view of views) {
        // Whoever is touched leads; the others' own scroll events follow from it.
        for (const kind of ["pointerdown", "pointerenter", "focus", "wheel", "keydown"])
            view.addEventListener(kind, () => { leader = view; }, { passive: true });
        view.addEventListener("scroll", () => {
            if (view !== leader) return;
            for (const other of views) if (other !== view) centre(other, shares(view));
        });
        view.addEventListener("wheel", (event) => {
            if (!event.ctrlKey) return; // also a pinch on a touchpad
            event.preventDefault();
            show(zoom * (event.deltaY < 0 ? 1.1 : 1 / 1.1));
        }, { passive: false });
        view.addEventListener("dblclick", doing.in);
        view.addEventListener("pointerdown", (event) => {
            if (event.pointerType !== "mouse" || event.button !== 0) return;
            event.preventDefault();
            view.focus({ preventScroll: true });
            view.setPointerCapture(event.pointerId);
            const from = [event.clientX + view.scrollLeft, event.clientY + view.scrollTop];
            const drag = (move) => {
                view.scrollLeft = from[0] - move.clientX;
                view.scrollTop = from[1] - move.clientY;
            };
            view.addEventListener("pointermove", drag);
            view.addEventListener(
                "lostpointercapture",
                () => view.removeEventListener("pointermove", drag),
                { once: true },
            );
        });
    }
    show(1);
})();
