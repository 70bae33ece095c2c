"use strict";
// A code behind the # of a link fills its field and leaves the address. It never
// reaches the server's log.
(() => {
  const field = document.querySelector("#id_code, #invitation");
  if (!field || location.hash.length < 2) return;
  field.value = decodeURIComponent(location.hash.slice(1));
  history.replaceState(null, "", location.pathname + location.search);
})();
