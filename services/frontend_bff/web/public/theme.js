// Runs before the first paint, so that a reader of the light theme never sees a dark flash.
(function () {
  var choice = null;
  try {
    choice = localStorage.getItem("reelgate.theme");
  } catch {
    /* storage can be blocked: the default theme is used */
  }
  var light =
    choice === "light" ||
    (choice === "system" && matchMedia("(prefers-color-scheme: light)").matches);
  document.documentElement.dataset.theme = light ? "light" : "dark";
})();
