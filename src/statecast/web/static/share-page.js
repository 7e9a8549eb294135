// A share link. Its token is behind the #, so no server and no log has seen it; it leaves the
// address at once. In a page of ours it becomes a cookie; inside a page of another site, where
// cookies of ours do not arrive, it stays in the memory of this page.
import { find, setText } from "./dom.js";
import { LivePage } from "./page.js";

const token = location.hash.slice(1);
history.replaceState(null, "", location.pathname);

/** Show the devices in this page, which alone has the token. */
function showHere() {
  LivePage.token = token;
  return import("./list-page.js");
}

async function exchange() {
  const response = await fetch(location.pathname, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ token }),
  });
  const answer = await response.json();
  if (!response.ok) throw new Error(answer.detail);
  if (answer.address) location.replace(answer.address);
  else await showHere();
}

/** @param {string} sentence */
function refuse(sentence) {
  setText(find("#count"), sentence);
}

if (!token) {
  refuse("This address has no link behind the #: ask for it again.");
} else if (window === window.top) {
  exchange().catch(({ message }) => refuse(message));
} else {
  showHere();
}
