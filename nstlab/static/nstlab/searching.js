"use strict";
/* The admin's searching selects have labels; what a reader meets in their place is
   named here as they are. */
(() => {
    function name() {
        for (const select of document.querySelectorAll("select.admin-autocomplete")) {
            const label = select.labels[0]?.textContent.trim().replace(/:$/, "");
            const parts = select.parentElement.querySelectorAll(
                "[role=combobox], [role=textbox]",
            );
            if (label) for (const part of parts) part.setAttribute("aria-label", label);
        }
    }

    document.addEventListener("formset:added", () => setTimeout(name));
    django.jQuery(name); // after they have been made, by the same queue
})();
