// The page's own data routes, and links into Airflow around it.

/** Address of `/v1/ui/`, wherever the server is mounted. */
export const root = new URL(document.body.dataset.root, window.location.href);
const airflow = new URL("../../", root);

/** Data of a route below `/v1/ui/`. Throws an Error with the server's own words. */
export function get(path) {
  return ask(new URL(path, root), { headers: { Accept: "application/json" } });
}

/** Sends an object to a route below `/v1/`; as `get` otherwise. */
export function post(path, content) {
  const headers = { Accept: "application/json", "Content-Type": "application/json" };
  return ask(new URL(`../${path}`, root), { method: "POST", headers, body: JSON.stringify(content) });
}

async function ask(url, options) {
  let response;
  try {
    response = await fetch(url, options);
  } catch {
    throw new Error("the server does not answer");
  }
  let body;
  try {
    body = await response.json();
  } catch {
    throw new Error(`the server answered HTTP ${response.status}`);
  }
  if (response.status === 401) throw new Error("you are not signed in (any more); sign in to Airflow and load the page again");
  if (body.retcode !== 0) throw new Error(body.retmsg || `HTTP ${response.status}`);
  return body.data;
}

export function address(...parts) {
  return parts.map(encodeURIComponent).join("/");
}

/** Whether the page stands inside another one, as in Airflow's tab. */
export const isFramed = window.parent !== window;

/** Turns a link into one that Airflow's own page follows, since a frame may not leave itself. */
export function intoAirflow(link, path) {
  const target = new URL(path, airflow);
  link.href = target.href;
  link.addEventListener("click", (event) => {
    if (!isFramed || event.ctrlKey || event.metaKey || event.shiftKey) return;
    try {
      const there = window.parent.document.createElement("a");
      there.href = target.href;
      event.preventDefault();
      there.click();
    } catch {
      // framed by another origin: the link opens in the frame
    }
  });
  return link;
}
