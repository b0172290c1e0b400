// A web address in a record is text: nothing on the screen may open another page.
window.open = () => null;
document.addEventListener("DOMContentLoaded", () => {
  const socket = new URL("ws", window.location.href);
  socket.protocol = "ws:";
  socket.search = "";
  document.getElementById("terminal").dataset.sessionWebsocketUrl = socket.href;
});
// Keys go to the terminal at once, without a click; it is made when all is loaded.
window.addEventListener("load", () =>
  setTimeout(() => document.querySelector(".xterm-helper-textarea").focus()),
);
