// Moves countdowns on. What they say stands in the page already; without this it is read again by hand.

const UNITS = [[86400, 'd'], [3600, 'h'], [60, 'min'], [1, 's']];

function length(seconds) {
  const words = [];
  let rest = seconds;
  for (const [size, unit] of UNITS) {
    if (rest >= size && words.length < 2) words.push(`${Math.floor(rest / size)} ${unit}`);
    rest %= size;
  }
  return words.join(' ') || '0 s';
}

// Only the time since the page was made is taken from this clock, which may be wrong.
const begun = performance.now();
const made = Number(document.querySelector('[data-now]')?.dataset.now ?? 0);

function move() {
  const now = made + (performance.now() - begun) / 1000;
  let waits = false;
  for (const place of document.querySelectorAll('[data-left]')) {
    const left = Math.ceil(Number(place.dataset.left) - now);
    waits ||= left > 0;
    place.textContent = left > 0 ? length(left) : '–';
    if (left > 0) continue;
    place.removeAttribute('data-left');
    const state = place.closest('tr')?.querySelector('.waiting');
    if (state) {
      state.className = 'ok';
      state.textContent = 'in force';
    }
    place.parentElement.querySelector('progress')?.remove();
  }
  for (const bar of document.querySelectorAll('progress[data-until]')) {
    const [since, until] = [Number(bar.dataset.since), Number(bar.dataset.until)];
    bar.value = Math.min(100, (100 * (now - since)) / Math.max(1, until - since));
  }
  if (waits) setTimeout(move, 1000);
}

if (made > 0) move();
