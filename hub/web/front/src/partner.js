// Follows pushes that are under way: the server says how far they are (server-sent events), the bar
// and its words move. When one ends, the page is asked again and its new content put in place, so
// that nothing is written here that the server does not write. Without this script one reloads.
const AT_ONCE = 3; // a browser opens six connections to one server; the page needs some itself
const UNTIL_LATER = 3000;
let listening = [];

const follow = () => {
  const region = document.querySelector("[data-live]");
  if (!region) return;
  const words = Object.fromEntries(region.dataset.words.split(";").map((pair) => pair.split("=")));
  for (const place of [...region.querySelectorAll("[data-events]")].slice(-AT_ONCE)) {
    const source = new EventSource(place.dataset.events);
    listening.push(source);
    source.addEventListener("progress", (event) => {
      const { stage, percentage } = JSON.parse(event.data);
      if (stage === "done") {
        refresh();
        return;
      }
      place.querySelector("progress").value = percentage;
      const share = new Intl.NumberFormat(document.documentElement.lang, { style: "percent" });
      place.querySelector("[data-said]").textContent =
        `${words[stage] ?? stage} · ${share.format(percentage / 100)}`;
    });
  }
};

const refresh = async () => {
  for (const source of listening.splice(0)) source.close();
  try {
    const answer = await fetch(location.href, { headers: { accept: "text/html" } });
    if (!answer.ok) throw new Error(String(answer.status));
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    const from = fresh.querySelector("[data-live]");
    document.querySelector("[data-live]").replaceWith(document.adoptNode(from));
    follow();
  } catch {
    setTimeout(refresh, UNTIL_LATER);
  }
};

follow();
