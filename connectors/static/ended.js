// The last page of a popup: tells the page that opened it how it went, and that origin alone.
(() => {
  "use strict";
  const { openerOrigin, status, connectionId, goOn } = document.querySelector("main").dataset;
  const message = { type: "heddle.connect", status, connection_id: connectionId || null };
  if (window.opener) {
    window.opener.postMessage(message, openerOrigin);
    window.close();
  } else if (goOn) {
    window.location.replace(goOn);
  }
})();
