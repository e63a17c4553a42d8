// A button beside each command copies it; without the clipboard, as in an old browser, it is selected instead.
for (const button of document.querySelectorAll('.copy')) {
  button.hidden = false;
  button.addEventListener('click', async () => {
    const command = button.parentElement.querySelector('.command');
    getSelection().selectAllChildren(command);
    try {
      await navigator.clipboard.writeText(command.textContent);
      button.textContent = 'copied';
    } catch {
      button.textContent = document.execCommand('copy') ? 'copied' : 'selected';
    }
    setTimeout(() => { button.textContent = 'copy'; }, 2000);
  });
}

// Curves that answer the pointer: the values under it; a stretch drawn with the mouse is enlarged, a double click shows
// all again. Without this script, and on paper, one sees the drawing that each box holds.
const charts = [...document.querySelectorAll('[data-chart]')].map(box => ({box, ...JSON.parse(box.dataset.chart)}));
const units = ['epoch', 'step', 'minutes'].filter(unit => charts.some(({lines}) => lines.every(line => line[unit])));
let unit = units[0];

const short = value => value == null ? '–' : String(Number(value.toPrecision(4)));

// The marks of an axis as numbers with as many digits as tell them apart.
function marks(_, values) {
  const apart = values.length > 1 ? values[1] - values[0] : 1;
  let digits = 0;
  while (digits < 12 && Math.abs(apart * 10 ** digits - Math.round(apart * 10 ** digits)) > 1e-6) digits += 1;
  return values.map(value => digits > 5 && value ? String(Number(value.toPrecision(3)).toExponential()) : value.toFixed(Math.min(digits, 5)));
}

const whole = [...Array(12).keys()].flatMap(power => [1, 2, 5].map(first => first * 10 ** power));

function draw(chart) {
  const colour = name => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const along = chart.lines.every(line => line[unit]) ? unit : 'step';
  const axis = {stroke: colour('--soft'), grid: {stroke: colour('--line'), width: 1}, ticks: {show: false}};
  const few = line => line.values.length < 30;
  chart.plot?.destroy();
  chart.plot = new uPlot({
    width: chart.box.clientWidth,
    height: 230,
    scales: {x: {time: false}},
    axes: [
      {...axis, label: along, labelSize: 20, size: 34, ...(along === 'minutes' ? {values: marks} : {incrs: whole})},
      {...axis, size: 58, values: marks},
    ],
    series: [
      {label: along, value: (_, value) => short(value)},
      ...chart.lines.map(line => ({
        label: line.name, stroke: line.colour, width: 2, dash: line.dash, spanGaps: true,
        points: {show: few(line), size: 5, fill: line.colour}, value: (_, value) => short(value),
      })),
    ],
  }, uPlot.join(chart.lines.map(line => [line[along], line.values])), chart.box);
  chart.box.classList.add('live');
}

function drawAll() {
  for (const chart of charts) draw(chart);
  for (const button of document.querySelectorAll('[data-unit]')) {
    button.setAttribute('aria-pressed', button.dataset.unit === unit);
  }
}

if (charts.length) {
  for (const button of document.querySelectorAll('[data-unit]')) {
    button.parentElement.hidden = units.length < 2;
    button.hidden = !units.includes(button.dataset.unit);
    button.addEventListener('click', () => { unit = button.dataset.unit; drawAll(); });
  }
  for (const hint of document.querySelectorAll('.hint')) hint.hidden = false;
  drawAll();
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', drawAll);
  addEventListener('resize', () => {
    for (const {plot, box} of charts) plot.setSize({width: box.clientWidth, height: 230});
  });
}
