"use strict";
/* What htmx alone cannot see on an experiment's form. */
(() => {
    const recount = () => htmx.trigger("#forecast", "recount");

    // What was ticked or unticked while a search was under way holds, not what the
    // search was sent with.
    const ticked = new Map();
    document.addEventListener("htmx:beforeSwap", ({ target }) => {
        if (!target.matches(".nst-tiles")) return;
        const tiles = [...target.querySelectorAll(".nst-tile:has(:checked)")];
        ticked.set(target.id, tiles);
    });
    document.addEventListener("htmx:load", ({ target }) => {
        if (!ticked.has(target.id)) return;
        const value = (tile) => tile.querySelector("input").value;
        const kept = new Map(ticked.get(target.id).map((tile) => [value(tile), tile]));
        for (const tile of target.querySelectorAll(".nst-tile")) {
            tile.querySelector("input").checked = kept.delete(value(tile));
        }
        target.prepend(...kept.values());
        ticked.delete(target.id);
    });

    // The search finds while one types; its form is for browsers without scripts.
    document.addEventListener("submit", (event) => {
        if (event.target.id === "find-pictures") event.preventDefault();
    });
    // These tell jQuery's listeners only, and the rows of pairs have events of their own.
    django.jQuery(document).on("change", "select.admin-autocomplete", recount);
    document.addEventListener("formset:removed", recount);
})();
