{
  const dialog = document.getElementById("enlarged");
  let shown;
  const show = (shot) => {
    const picture = shot.firstElementChild.cloneNode();
    dialog.querySelector("figure").replaceChildren(picture);
    dialog.querySelector(".said").textContent = picture.alt;
    shown = shot;
  };
  // The same column in another line, or another column of the same line.
  const beside = (key) => {
    const shots = [...shown.closest("figure").querySelectorAll(".shot")].filter((shot) => shot.checkVisibility());
    const column = (shot) => [...shot.parentElement.children].indexOf(shot);
    const there = shots.indexOf(shown);
    const line = shots.filter((shot) => shot.parentElement === shown.parentElement);
    const above = shots.filter((shot) => column(shot) === column(shown));
    const among = key === "ArrowLeft" || key === "ArrowRight" ? line : above;
    const step = key === "ArrowLeft" || key === "ArrowUp" ? -1 : 1;
    return among[among.indexOf(shots[there]) + step];
  };
  document.addEventListener("click", (event) => {
    const shot = event.target.closest(".shot");
    if (shot) {
      show(shot);
      dialog.showModal();
    }
  });
  dialog.addEventListener("click", () => dialog.close());
  dialog.addEventListener("close", () => shown.focus());
  dialog.addEventListener("keydown", (event) => {
    if (!event.key.startsWith("Arrow")) return;
    event.preventDefault();
    const next = beside(event.key);
    if (next) show(next);
  });
}
