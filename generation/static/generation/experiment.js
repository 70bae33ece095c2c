"use strict";
/* What htmx alone cannot see on an experiment's form, and what its widgets lack. */
(() => {
    const recount = () => htmx.trigger("#forecast", "recount");

    // The admin's searching selects are named by their column; theirs has no label.
    function name() {
        for (const select of document.querySelectorAll("select.admin-autocomplete")) {
            const column = select.closest("td").className.match(/field-(\w+)/)[1];
            const parts = select.parentElement.querySelectorAll(
                "[role=combobox], [role=textbox]",
            );
            for (const part of parts) part.setAttribute("aria-label", column);
        }
    }

    // The search finds while one types; its form is for browsers without scripts.
    document.addEventListener("submit", (event) => {
        if (event.target.id === "find-pictures") event.preventDefault();
    });
    // These tell jQuery's listeners only, and the rows of pairs have events of their own.
    django.jQuery(document).on("change", "select.admin-autocomplete", recount);
    document.addEventListener("formset:removed", recount);
    document.addEventListener("formset:added", () => setTimeout(name));
    django.jQuery(name); // after they have been made, by the same queue
})();
