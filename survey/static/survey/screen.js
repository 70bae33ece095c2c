"use strict";
// Tells the server the size of the viewport; nothing else about the device.
(() => {
  const form = document.querySelector("form[data-screen]");
  if (!form) return;
  form.viewport.value = `${window.innerWidth}x${window.innerHeight}`;
  form.pixel_ratio.value = String(window.devicePixelRatio || 1);
  form.touch.value = matchMedia("(pointer: coarse)").matches ? "1" : "";
})();
