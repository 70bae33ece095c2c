"use strict";
// Tells the server the size of the viewport; nothing else about the device.
(() => {
  const form = document.querySelector("form[data-screen]");
  if (!form) return;
  const say = (name, value) => { if (form[name]) form[name].value = value; };
  say("viewport", `${window.innerWidth}x${window.innerHeight}`);
  say("pixel_ratio", String(window.devicePixelRatio || 1));
  say("touch", matchMedia("(pointer: coarse)").matches ? "1" : "");
})();
