// Sorts the table of results by the column whose head is pressed; once more turns it round. Empty cells stay last.
for (const table of document.querySelectorAll('table.sortable')) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => head.firstChild.addEventListener('click', () => {
    const down = head.getAttribute('aria-sort') === 'ascending';
    heads.forEach(other => other.removeAttribute('aria-sort'));
    head.setAttribute('aria-sort', down ? 'descending' : 'ascending');
    const value = row => row.cells[column].dataset.value;
    const compare = head.classList.contains('number') ? (a, b) => a - b : (a, b) => a.localeCompare(b);
    const rows = [...table.tBodies[0].rows];
    rows.sort((a, b) => (value(a) === '') - (value(b) === '') || compare(value(a), value(b)) * (down ? -1 : 1));
    table.tBodies[0].append(...rows);
  }));
}
