// The course page: a search through the guides, and guides that open where a link leads.

// Every unit that has all the words; "/" leads to the search, as elsewhere.
const field = document.getElementById('search');
const texts = new Map([...document.querySelectorAll('article')].map(unit => [unit, unit.textContent.toLowerCase()]));
const look = () => {
  const words = field.value.toLowerCase().split(/\s+/).filter(Boolean);
  let count = 0;
  for (const [unit, text] of texts) {
    const fits = words.every(word => text.includes(word));
    unit.hidden = !fits;
    document.querySelector(`[data-row="${unit.id}"]`).hidden = !fits;
    unit.querySelector('.guide').open = words.length > 0 && fits || unit.id === location.hash.slice(1);
    count += fits;
  }
  document.getElementById('found').textContent = words.length ? `${count} / ${texts.size}` : '';
};
field.addEventListener('input', look);
field.form.addEventListener('submit', event => event.preventDefault());
document.addEventListener('keydown', event => {
  if (event.key === '/' && document.activeElement !== field) { event.preventDefault(); field.focus(); }
  if (event.key === 'Escape' && document.activeElement === field) { field.value = ''; look(); }
});

// A link to a unit opens its guide; on paper all are open.
const open = () => document.getElementById(location.hash.slice(1))?.querySelector('.guide')?.setAttribute('open', '');
window.addEventListener('hashchange', open);
window.addEventListener('beforeprint', () => document.querySelectorAll('.guide').forEach(guide => { guide.open = true; }));
open();
