"use strict";

const page = JSON.parse(document.getElementById("pairs").textContent);
const key = "ttsrl-prefer-" + page.id;
const element = id => document.getElementById(id);
const players = {a: element("play-a"), b: element("play-b")};
const buttons = {a: element("choose-a"), b: element("choose-b"), same: element("choose-same")};
let answers = JSON.parse(localStorage.getItem(key) || "[]");
// Of this page in this browser: an answer that is changed and saved again replaces the one saved first.
const listener = localStorage.getItem(key + "-listener")
  || Array.from(crypto.getRandomValues(new Uint8Array(8)), byte => byte.toString(16).padStart(2, "0")).join("");
localStorage.setItem(key + "-listener", listener);
let heard = new Set();

function show() {
  const at = answers.length, over = at >= page.pairs.length, pair = page.pairs[at];
  heard = new Set();
  element("bar").max = page.pairs.length;
  element("bar").value = at;
  element("count").textContent = `${at} of ${page.pairs.length}`;
  element("pair").hidden = over;
  element("done").hidden = !over;
  element("back").disabled = !at;
  element("save").disabled = !at;
  for (const side of ["a", "b"]) {
    players[side].pause();
    if (!over) players[side].src = pair[side + "_audio"];
  }
  element("text").textContent = over ? "" : pair.text;
  for (const button of Object.values(buttons)) button.disabled = true;
}

// A choice without having heard both is none.
for (const [side, player] of Object.entries(players)) {
  player.addEventListener("play", () => players[side === "a" ? "b" : "a"].pause());
  player.addEventListener("ended", () => {
    heard.add(side);
    if (heard.size === 2) for (const button of Object.values(buttons)) button.disabled = false;
  });
}

function keep() {
  localStorage.setItem(key, JSON.stringify(answers));
  show();
}

function choose(choice) {
  if (buttons[choice].disabled) return;
  const pair = page.pairs[answers.length];
  answers.push({page: page.id, pair: pair.id, a: pair.a, b: pair.b, text: pair.text, choice, listener, at: new Date().toISOString()});
  keep();
}

function back() {
  if (answers.length) answers.pop();
  keep();
}

function play(side) {
  players[side].currentTime = 0;
  players[side].play();
}

function save() {
  const lines = answers.map(answer => JSON.stringify(answer) + "\n").join("");
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([lines], {type: "application/jsonl"}));
  link.download = `answers-${page.id}.jsonl`;
  link.click();
  URL.revokeObjectURL(link.href);
}

for (const choice of Object.keys(buttons)) buttons[choice].addEventListener("click", () => choose(choice));
element("back").addEventListener("click", back);
element("save").addEventListener("click", save);
const keys = {1: () => play("a"), 2: () => play("b"), a: () => choose("a"), b: () => choose("b"), s: () => choose("same"), z: back};
document.addEventListener("keydown", event => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
  const act = keys[event.key.toLowerCase()];
  if (act) { event.preventDefault(); act(); }
});
show();
