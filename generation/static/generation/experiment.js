"use strict";
/* What htmx alone cannot see on an experiment's form. */
(() => {
    const recount = () => htmx.trigger("#forecast", "recount");

    // The search finds while one types; its form is for browsers without scripts.
    document.addEventListener("submit", (event) => {
        if (event.target.id === "find-pictures") event.preventDefault();
    });
    // The admin's searching selects and its rows of pairs tell only their own kind.
    django.jQuery(document).on("change", "select.admin-autocomplete", recount);
    document.addEventListener("formset:added", recount);
    document.addEventListener("formset:removed", recount);
})();
