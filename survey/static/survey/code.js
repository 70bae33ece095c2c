"use strict";
// A code behind the # of a link fills its field and leaves the address. It never
// reaches the server's log. Who changes the language takes it along in this tab.
(() => {
  const field = document.querySelector("#id_code, #invitation");
  if (!field) return;
  const kept = `code:${location.pathname}`;
  try {
    field.value = field.value || sessionStorage.getItem(kept) || "";
    sessionStorage.removeItem(kept);
    for (const link of document.querySelectorAll(".languages a")) {
      link.addEventListener("click", () => sessionStorage.setItem(kept, field.value));
    }
  } catch { /* a browser that keeps nothing */ }
  if (location.hash.length < 2) return;
  field.value = decodeURIComponent(location.hash.slice(1));
  history.replaceState(null, "", location.pathname + location.search);
})();
