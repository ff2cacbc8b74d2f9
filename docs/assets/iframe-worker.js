// A Worker for pages opened from a folder (file://), where browsers refuse real ones: the script
// runs in a hidden frame. Material's search looks for the name IFrameWorker.
"use strict";
window.IFrameWorker = class extends EventTarget {
  constructor(address) {
    super();
    this.onerror = null;
    this.frame = document.createElement("iframe");
    this.frame.hidden = true;
    document.body.appendChild(this.frame);
    const inside = this.frame.contentWindow;
    const scripts = (...sources) =>
      sources.reduce(
        (before, source) =>
          before.then(
            () =>
              new Promise((done) => {
                const script = inside.document.createElement("script");
                script.src = source;
                script.onload = done;
                script.onerror = (event) => this.onerror && this.onerror(event);
                inside.document.body.appendChild(script);
              }),
          ),
        Promise.resolve(),
      );
    inside.importScripts = scripts;
    inside.postMessage = (data) => this.dispatchEvent(new MessageEvent("message", { data }));
    this.ready = scripts(address);
  }
  postMessage(data) {
    this.ready.then(() =>
      this.frame.contentWindow.dispatchEvent(new MessageEvent("message", { data })),
    );
  }
  terminate() {
    this.frame.remove();
  }
};
if (location.protocol === "file:") window.Worker = window.IFrameWorker;
