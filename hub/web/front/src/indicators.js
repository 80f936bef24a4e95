// Filters the lists as one types. Without this script the form asks the server, which hides the same
// rows: nothing here is needed to read a figure.
const form = document.querySelector("form[data-filter]");
const plain = (text) =>
  text
    .normalize("NFD")
    .replace(/\p{Diacritic}/gu, "")
    .toLowerCase();

if (form) {
  const rows = [...document.querySelectorAll("[data-name]")].map((element) => ({
    element,
    name: plain(element.dataset.name),
    department: element.dataset.department,
  }));
  const count = document.querySelector("[data-count]");
  const none = document.querySelectorAll("[data-none]");

  const filter = () => {
    const words = plain(form.elements.q.value).split(/\s+/).filter(Boolean);
    const department = form.elements.department.value;
    let shown = 0;
    for (const { element, name, department: own } of rows) {
      const fits =
        (!department || own === department) && words.every((word) => name.includes(word));
      element.hidden = !fits;
      if (fits && element.dataset.counted !== undefined) shown += 1;
    }
    count.textContent = count.dataset[shown > 1 ? "many" : shown === 1 ? "one" : "zero"].replace(
      "{n}",
      shown,
    );
    for (const element of none) {
      element.hidden = [...element.parentElement.querySelectorAll("[data-name]")].some(
        (row) => !row.hidden,
      );
    }
    const address = new URL(location.href);
    for (const [key, value] of [["q", form.elements.q.value.trim()], ["department", department]]) {
      if (value) address.searchParams.set(key, value);
      else address.searchParams.delete(key);
    }
    history.replaceState(null, "", address);
  };

  form.addEventListener("input", filter);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    filter();
  });
  form.querySelector("button").hidden = true;
  filter();
}
