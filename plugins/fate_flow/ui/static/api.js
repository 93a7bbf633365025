// The page's own data routes, and links into Airflow around it.

/** Address of `/v1/ui/`, wherever the server is mounted. */
export const root = new URL(document.body.dataset.root, window.location.href);
const airflow = new URL("../../", root);

/** Data of a route below `/v1/ui/`. Throws an Error with the server's own words. */
export async function get(path) {
  let response;
  try {
    response = await fetch(new URL(path, root), { headers: { Accept: "application/json" } });
  } catch {
    throw new Error("the server does not answer");
  }
  let body;
  try {
    body = await response.json();
  } catch {
    throw new Error(`the server answered HTTP ${response.status}`);
  }
  if (body.retcode !== 0) {
    const error = new Error(body.retmsg || `HTTP ${response.status}`);
    error.isFinal = response.status !== 503;
    throw error;
  }
  return body.data;
}

export function address(...parts) {
  return parts.map(encodeURIComponent).join("/");
}

/** Turns a link into one that Airflow's own page follows, since a frame may not leave itself. */
export function intoAirflow(link, path) {
  const target = new URL(path, airflow);
  link.href = target.href;
  link.addEventListener("click", (event) => {
    if (window.parent === window || event.ctrlKey || event.metaKey || event.shiftKey) return;
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
