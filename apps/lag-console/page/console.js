/** Polls the API once a second and shows what it says. */
import { element, setText } from './dom.js';
import { isOpen, showGroups } from './groups.js';
import { showRun } from './run.js';
import { showTopics } from './topics.js';

const POLL_MS = 1000;
const STALE_MS = 5000;
const at = (id) => document.getElementById(id);

async function get(path) {
  const response = await fetch(path, { signal: AbortSignal.timeout(4000) });
  const body = await response.json();
  if (!response.ok) throw new Error(body.message ?? `${path}: ${response.status}`);
  return body;
}

let groups = [];
let picked = null;

async function pollCluster() {
  const [listed, { topics }] = await Promise.all([get('/api/groups'), get('/api/topics')]);
  const open = listed.groups.filter(isOpen);
  const details = await Promise.allSettled(
    open.map((group) => get(`/api/groups/${encodeURIComponent(group.group)}`)),
  );
  const byName = new Map(details.flatMap(({ value }) => (value === undefined ? [] : [[value.group, value]])));
  groups = listed.groups.map((group) => byName.get(group.group) ?? group);
  showGroups(at('groups'), groups);
  showTopics(at('topics'), topics);
  setText(at('cluster'), listed.bootstrapServers);
  const age = Date.now() - listed.at;
  if (age > STALE_MS) throw new Error(listed.problem ?? `last reading ${Math.round(age / 1000)} s ago`);
}

async function pollRun() {
  const { runs } = await get('/api/runs');
  const select = at('run-pick');
  if ([...select.options].map((option) => option.value).join() !== runs.join()) {
    select.replaceChildren(...runs.map((run) => element('option', { value: run }, run)));
  }
  const run = picked !== null && runs.includes(picked) ? picked : runs[0];
  select.disabled = runs.length === 0;
  if (run === undefined) return;
  select.value = run;
  const news = showRun(at('run'), await get(`/api/runs/${run}`));
  if (news !== '') setText(at('announce'), `${run}: ${news}`);
}

function show(state, text) {
  at('live').dataset.state = state;
  setText(at('live-text'), text);
}

async function turn() {
  const [cluster, run] = await Promise.allSettled([pollCluster(), pollRun()]);
  const failure = [cluster, run].find((each) => each.status === 'rejected');
  if (failure === undefined) show('ok', `live · ${new Date().toLocaleTimeString('en-GB')}`);
  else show('bad', String(failure.reason.message ?? failure.reason));
}

at('run-pick').addEventListener('change', (event) => {
  picked = event.target.value;
  void pollRun().catch(() => undefined);
});
document.addEventListener('groups-changed', () => {
  showGroups(at('groups'), groups);
  void pollCluster().catch(() => undefined);
});

const THEMES = { system: 'auto', light: 'light', dark: 'dark' };
function applyTheme(theme) {
  if (theme === 'system') delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
  setText(at('theme'), `Theme: ${THEMES[theme]}`);
}
let theme = localStorage.getItem('theme') ?? 'system';
applyTheme(theme);
at('theme').addEventListener('click', () => {
  const names = Object.keys(THEMES);
  theme = names[(names.indexOf(theme) + 1) % names.length];
  localStorage.setItem('theme', theme);
  applyTheme(theme);
});

for (;;) {
  const began = performance.now();
  // A page nobody looks at asks nothing.
  if (document.visibilityState === 'visible') await turn();
  await new Promise((resolve) => setTimeout(resolve, Math.max(100, POLL_MS - (performance.now() - began))));
}
