// A button that connects an account in a popup: <button data-heddle-connect="/your/route">Connect Notes</button>.
// Your route answers a POST with {"connect_url": …}, from a session made with your page's origin as opener_origin.
// The button then gets an event "heddle:connect", whose detail is {status, connection_id}.
(() => {
  "use strict";
  const heddle = new URL(document.currentScript.src).origin;
  const size = "popup,width=480,height=720";
  const LOOK_EVERY_MS = 500;

  const tell = (button, detail) =>
    button.dispatchEvent(new CustomEvent("heddle:connect", { bubbles: true, detail }));

  const linkFrom = async (button) => {
    const answer = await fetch(button.dataset.heddleConnect, { method: "POST", credentials: "same-origin" });
    if (!answer.ok) throw new Error(`${button.dataset.heddleConnect} answered ${answer.status}`);
    const link = new URL((await answer.json()).connect_url);
    if (link.origin !== heddle) throw new Error(`connect_url is not at ${heddle}`);
    if (button.dataset.lang) link.searchParams.set("lang", button.dataset.lang);
    return link.href;
  };

  const wait = (button, popup) => {
    const end = (detail) => {
      window.removeEventListener("message", hear);
      clearInterval(looking);
      button.disabled = false;
      tell(button, detail);
    };
    const hear = (event) => {
      const isOurs = event.origin === heddle && event.source === popup && event.data?.type === "heddle.connect";
      if (isOurs) end({ status: event.data.status, connection_id: event.data.connection_id });
    };
    // Its last words may arrive after it has closed. A vendor's page may also cut the popup off from this page:
    // then it looks closed, and nothing will be heard.
    let seenClosed = 0;
    const looking = setInterval(() => {
      if (popup.closed && ++seenClosed > 1) end({ status: "closed", connection_id: null });
    }, LOOK_EVERY_MS);
    window.addEventListener("message", hear);
  };

  document.addEventListener("click", async (event) => {
    const button = event.target.closest?.("[data-heddle-connect]");
    if (!button || button.disabled) return;
    event.preventDefault();
    button.disabled = true;
    const popup = window.open("", "_blank", size); // now: after an await it would be blocked
    try {
      const link = await linkFrom(button);
      if (!popup) return window.location.assign(link);
      popup.location.replace(link);
      wait(button, popup);
    } catch (error) {
      popup?.close();
      button.disabled = false;
      tell(button, { status: "error", connection_id: null, message: error.message });
    }
  });
})();
