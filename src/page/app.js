// The page of the admin endpoint: polls the API, shows what it says, and flips routes after a dry run and a question.
'use strict';

const steps = ['prepare', 'brake', 'fence', 'drain', 'boundary', 'record', 'release'];
const number = new Intl.NumberFormat('en-US');
const find = (id) => document.getElementById(id);
const plural = (count, word) => `${number.format(count)} ${word}${count === 1 ? '' : 's'}`;
const delay = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

// An element with properties and children; text never becomes markup.
function el(name, properties, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(properties || {})) {
    if (key in element) element[key] = value;
    else element.setAttribute(key, value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return element;
}

async function ask(method, path, timeoutMs) {
  const response = await fetch(path, {
    method, headers: method === 'GET' ? {} : { 'X-Crossover-Request': 'page' },
    signal: AbortSignal.timeout(timeoutMs || 10000), cache: 'no-store',
  });
  const body = await response.json();
  if (!response.ok && body.hint !== undefined) throw new Error(`${body.error} (${body.hint})`);
  return body;
}

// Replaces what a place shows only when it changed, so that focus and selection stay.
const shown = new Map();
function show(place, state, build) {
  const key = JSON.stringify(state);
  if (shown.get(place) === key) return;
  shown.set(place, key);
  const focused = place.contains(document.activeElement) ? document.activeElement.dataset.key : undefined;
  place.replaceChildren(...[build()].flat().filter((child) => child !== null));
  if (focused) [...place.querySelectorAll('[data-key]')].find((e) => e.dataset.key === focused)?.focus();
}

// --- header and warnings ---

function duration(seconds) {
  const parts = [[86400, 'd'], [3600, 'h'], [60, 'min'], [1, 's']];
  const first = Math.max(0, parts.findIndex(([length]) => seconds >= length));
  if (seconds < 1) return '0 s';
  return parts.slice(first, first + 2).map(([length, unit], i) => {
    const whole = Math.floor((i === 0 ? seconds : seconds % parts[first][0]) / length);
    return `${whole} ${unit}`;
  }).join(' ');
}

function showHeader(status) {
  find('version').textContent = status.version;
  show(find('clusters'), status.clusters, () => ['source', 'target'].map((name) => {
    const cluster = status.clusters[name];
    const more = cluster.brokers === undefined ? '' : `${plural(cluster.brokers, 'broker')}, ${plural(cluster.topics, 'topic')}`;
    return el('div', { className: `cluster ${name}`, title: cluster.cluster_id || '' },
      el('span', { className: cluster.reachable ? 'dot' : 'dot bad' }), el('b', {}, name),
      el('span', {}, cluster.reachable ? 'reachable' : 'not reachable'), el('span', { className: 'quiet' }, more));
  }));
  const word = status.draining ? 'draining' : status.ready ? 'ready' : 'not ready';
  find('state').textContent = `${word}, up ${duration(status.uptime_s)}`;
}

function strangersWarning(status) {
  if (status.strangers.length === 0) return null;
  const lines = status.strangers.slice(0, 8).map((s) => el('li', {},
    `${s.topic}-${s.partition} on the ${s.cluster}: ${plural(s.count, 'record')} from offset ${number.format(s.first_offset)}`));
  const more = status.stranger_partitions - lines.length;
  if (more > 0) lines.push(el('li', {}, `and ${plural(more, 'more partition')}`));
  return el('div', { className: 'warning', 'data-warning': 'strangers' },
    el('b', {}, 'Somebody wrote past the proxy. '), 'These records lie in no open segment, so no client sees them:', el('ul', {}, lines));
}

function showWarnings(status, problem) {
  show(find('warnings'), [problem, status && [status.strangers, status.problems, status.ready, status.draining, status.clusters.source.reachable, status.clusters.target.reachable]], () => {
    const line = (text, kind) => el('p', { className: 'warning', 'data-warning': kind }, text);
    const out = [];
    if (problem) out.push(line(`The proxy does not answer: ${problem}. What is shown below is the last it said.`, 'contact'));
    if (!status) return out;
    if (status.draining) out.push(line('The proxy is draining: it is about to stop.', 'draining'));
    for (const name of ['source', 'target']) {
      if (!status.clusters[name].reachable) out.push(line(`The ${name} cluster is not reachable.`, 'cluster'));
    }
    if (!status.ready && !status.draining) out.push(line('The proxy is not ready: its control state or a home cluster is missing.', 'ready'));
    for (const text of status.problems) out.push(line(text, 'problem'));
    out.push(strangersWarning(status));
    return out.filter((item) => item !== null);
  });
}

// --- routes ---

function stepper(current, done) {
  const at = steps.indexOf(current);
  const names = done ? done.map((step) => step.name) : steps;
  return el('ol', { className: 'steps' }, names.map((name, i) => {
    const past = done ? true : i < at;
    return el('li', { className: past ? 'past' : i === at ? 'now' : '' }, name,
      done ? el('small', {}, `${done[i].ms.toFixed(1)} ms`) : null);
  }));
}

function lastFlip(flip) {
  if (!flip) return el('div', { className: 'quiet' }, 'Never flipped while this proxy ran');
  const held = flip.hold_ms.count > 0 ? `, ${plural(flip.hold_ms.count, 'request')} held, at most ${flip.hold_ms.max} ms` : '';
  const text = `Last: ${flip.direction} ${flip.result}${held}${flip.error ? `: ${flip.error}` : ''}`;
  return el('div', {}, el('div', { className: 'quiet' }, text), flip.steps.length > 0 ? stepper('', flip.steps) : null);
}

function couplingList(route) {
  if (route.coupling_count === 0) return null;
  const torn = route.couplings.filter((coupling) => coupling.torn).length;
  const names = (list) => list.join(', ') || '–';
  const rows = route.couplings.map((c) => [c.torn ? '✘ torn' : '', c.transactional_id, names(c.topics), names(c.groups), duration(c.known_ms / 1000)]);
  return el('details', { className: 'couplings', 'data-couplings': route.coupling_count },
    el('summary', { 'data-key': `${route.route} couplings` }, `${plural(route.coupling_count, 'transactional id')} seen`,
      torn > 0 ? el('b', {}, `, ${torn} torn: what they write together lies in several routes`) : null),
    el('div', { className: 'scroll' }, table([[''], ['Transactional id'], ['Topics'], ['Groups'], ['Known for', 'number']], rows)));
}

function routeCard(route, ready) {
  const what = route.defined_topics === null ? 'all topics that no other route names' : route.defined_topics.slice(0, 6).join(', ') +
    (route.defined_topics.length > 6 ? ` and ${route.defined_topics.length - 6} more` : '');
  const running = route.flip.running;
  const button = (verb, label, to) => el('button', {
    type: 'button', 'data-action': verb, 'data-key': `${route.route} ${verb}`, disabled: running || !ready,
    className: route.home !== to ? 'primary' : '', onclick: () => askFlip(route, verb, to),
  }, label);
  return el('article', { className: 'card', 'data-route': route.route },
    el('div', { className: 'card-head' }, el('h3', {}, route.route),
      el('span', { className: `pill ${route.home}`, 'data-home': route.home }, `home: ${route.home}`),
      el('span', { className: route.phase === 'open' ? 'pill' : 'pill busy' }, running ? `flipping: ${route.flip.step || '…'}` : route.recovered ? `${route.phase}, recovered` : route.phase),
      el('span', { className: 'spacer' }), el('span', { className: 'quiet' }, `generation ${route.generation}`)),
    el('div', { className: 'quiet' }, `${plural(route.topic_count, 'topic')}, ${plural(route.partition_count, 'partition')}: ${what}`),
    running ? stepper(route.flip.step) : lastFlip(route.last_flip),
    couplingList(route),
    el('div', { className: 'buttons' }, button('rollback', 'Roll back…', 'source'), button('cutover', 'Cut over…', 'target')));
}

function showRoutes(status) {
  // Ages alone are no reason to build the cards anew.
  const still = status.routes.map((route) => ({ ...route, couplings: route.couplings.map((c) => ({ ...c, known_ms: 0, idle_ms: 0 })) }));
  show(find('routes'), [status.ready, still], () => status.routes.length === 0
    ? el('p', { className: 'empty' }, 'The control state is not loaded yet.')
    : status.routes.map((route) => routeCard(route, status.ready)));
  const select = find('log-route');
  show(select, status.routes.map((route) => route.route), () => {
    const chosen = select.value;
    return status.routes.map((route) => el('option', { value: route.route, selected: route.route === chosen }, route.route));
  });
}

// --- throughput ---

const kib = (bytes) => bytes < 1024 ? `${Math.round(bytes)} B` : bytes < 1048576 ? `${(bytes / 1024).toFixed(1)} KiB` : `${(bytes / 1048576).toFixed(1)} MiB`;
const rates = [
  ['requests', 'Requests', (v) => `${number.format(Math.round(v))}/s`],
  ['produce_records', 'Records produced', (v) => `${number.format(Math.round(v))}/s`],
  ['bytes_in', 'From clients', (v) => `${kib(v)}/s`],
  ['bytes_out', 'To clients', (v) => `${kib(v)}/s`],
  ['held_requests', 'Requests held', (v) => `${number.format(Math.round(v))}/s`],
].map(([key, label, format]) => ({ key, label, format, values: [] }));
const sampleCount = 60;
let lastSample = null;

function sparkline(values) {
  const most = Math.max(...values, 1);
  const points = values.map((v, i) => `${(i * 100) / (sampleCount - 1)},${30 - (28 * v) / most}`);
  const picture = document.createElementNS('http://www.w3.org/2000/svg', 'svg');
  picture.setAttribute('viewBox', '0 0 100 30');
  picture.setAttribute('preserveAspectRatio', 'none');
  picture.setAttribute('aria-hidden', 'true');
  const last = ((values.length - 1) * 100) / (sampleCount - 1);
  for (const [name, all] of [['polygon', ['0,30', ...points, `${last},30`]], ['polyline', points]]) {
    const shape = document.createElementNS('http://www.w3.org/2000/svg', name);
    shape.setAttribute('points', all.join(' '));
    picture.append(shape);
  }
  return picture;
}

function showThroughput(status) {
  const now = performance.now();
  const restarted = lastSample && status.uptime_s < lastSample.uptime;
  if (lastSample && !restarted && now - lastSample.at < 900) return;
  if (lastSample && !restarted) {
    const seconds = (now - lastSample.at) / 1000;
    for (const rate of rates) {
      rate.values.push(Math.max(0, (status.counters[rate.key] - lastSample.counters[rate.key]) / seconds));
      if (rate.values.length > sampleCount) rate.values.shift();
    }
  }
  lastSample = { at: now, uptime: status.uptime_s, counters: status.counters };
  find('throughput').replaceChildren(...rates.map((rate) => el('div', { className: 'tile' },
    el('div', { className: 'quiet' }, rate.label),
    el('div', { className: 'value' }, rate.values.length > 0 ? rate.format(rate.values[rate.values.length - 1]) : '–'),
    sparkline(rate.values.length > 0 ? rate.values : [0]))));
}

// --- spliced logs ---

const openedTopics = new Map();  // by name: whether the user opened or closed it

function partitionRow(partition, width) {
  return el('div', { className: 'partition' }, el('span', { title: 'partition' }, partition.partition), logView.draw(partition.segments, width));
}

function topicBlock(topic, index) {
  const shownPartitions = topic.partitions.slice(0, 64);
  const more = topic.partitions.length - shownPartitions.length;
  const width = Math.max(find('logs').clientWidth - 66, 120);
  const partitions = el('div', { className: 'partitions' });
  const fill = () => partitions.replaceChildren(...shownPartitions.map((p) => partitionRow(p, width)),
    ...(more > 0 ? [el('p', { className: 'quiet' }, `and ${plural(more, 'more partition')}`)] : []));
  const open = openedTopics.has(topic.topic) ? openedTopics.get(topic.topic) : index < 3;
  const block = el('details', { className: 'topic', open, 'data-topic': topic.topic },
    el('summary', { 'data-key': topic.topic }, topic.topic, ' ', el('span', { className: 'quiet' }, plural(topic.partitions.length, 'partition'))), partitions);
  if (open) fill();
  block.addEventListener('toggle', () => {
    openedTopics.set(topic.topic, block.open);
    if (block.open && partitions.childElementCount === 0) fill();
  });
  return block;
}

async function showLogs() {
  const route = find('log-route').value;
  if (!route) return;
  const wanted = find('log-topic').value.trim();
  const query = wanted ? `?topic=${encodeURIComponent(wanted)}` : '?limit=400';
  const detail = await ask('GET', `/v1/routes/${encodeURIComponent(route)}${query}`);
  if (route !== find('log-route').value || wanted !== find('log-topic').value.trim()) return;
  show(find('logs'), [detail.topics, detail.truncated, find('logs').clientWidth], () => {
    const out = detail.topics.map(topicBlock);
    if (out.length === 0) out.push(el('p', { className: 'empty' }, wanted ? `Route ${route} has no topic ${wanted}.` : `Route ${route} has no topics.`));
    if (detail.truncated) out.push(el('p', { className: 'quiet' }, 'More topics follow; name one above.'));
    return out;
  });
}

// --- clients ---

function table(heads, rows) {
  const cell = (name, value, head, extra) => el(name, { className: head[1] || '', ...extra }, String(value));
  return el('table', {}, el('thead', {}, el('tr', {}, heads.map((head) => cell('th', head[0], head, { scope: 'col' })))),
    el('tbody', {}, rows.map((row) => el('tr', {}, row.map((value, i) => cell('td', value, heads[i]))))));
}

async function showClients() {
  const { connections, count } = await ask('GET', '/v1/connections');
  find('client-count').textContent = plural(count, 'connection');
  const rows = connections.slice(0, 500).map((c) => [c.client_id || '–', `${c.software_name} ${c.software_version}`.trim() || '–', c.peer,
    c.virtual_broker === null ? 'bootstrap' : c.virtual_broker, number.format(c.requests), c.in_flight, duration(c.idle_ms / 1000)]);
  show(find('clients'), rows, () => rows.length === 0 ? el('p', { className: 'empty' }, 'No client is connected.') : table(
    [['Client id'], ['Software'], ['Address'], ['Virtual broker', 'number'], ['Requests', 'number'], ['In flight', 'number'], ['Idle', 'number']], rows));
}

// --- flips ---

function gateList(gates) {
  return el('ul', { className: 'gates' }, gates.map((gate) => el('li', { className: gate.ok ? 'open' : 'closed' },
    el('span', { className: 'mark', 'aria-hidden': 'true' }, gate.ok ? '✔' : '✘'),
    el('span', {}, el('span', { className: 'hidden' }, gate.ok ? 'open: ' : 'closed: '), gate.name,
      gate.detail ? el('span', { className: 'quiet' }, ` ${gate.detail}`) : null))));
}

function dialogShows(title, body, confirm, cancel) {
  find('dialog-title').textContent = title;
  find('dialog-body').replaceChildren(...body.filter((part) => part !== null));
  const button = find('dialog-confirm');
  button.hidden = !confirm;
  if (confirm) {
    button.textContent = confirm.label;
    button.disabled = confirm.disabled;
    button.onclick = confirm.act;
  }
  find('dialog-cancel').textContent = cancel;
  if (!find('dialog').open) find('dialog').showModal();
}

function flipPlan(route, verb, to) {
  const from = to === 'target' ? 'source' : 'target';
  return el('p', {}, verb === 'cutover'
    ? `Clients of ${plural(route.topic_count, 'topic')} (${plural(route.partition_count, 'partition')}) will write to the target. Each partition's log is closed on the source at its end and goes on at the target's end; what was written so far stays readable where it lies.`
    : `Clients of ${plural(route.topic_count, 'topic')} (${plural(route.partition_count, 'partition')}) will write to the source again. What they wrote to the target stays readable in its segment; nothing is copied back.`,
    ` Produce requests are held meanwhile, not failed. Until then the ${from} takes the writes.`);
}

function wishBox(wishes, name, label, again) {
  const box = el('input', { type: 'checkbox', checked: wishes[name], 'data-wish': name, onchange: () => again({ ...wishes, [name]: box.checked }) });
  return el('p', {}, el('label', {}, box, ` ${label}`));
}

const wishQuery = (wishes) => `widen=${wishes.widen}&abort_open=${wishes.abort_open}`;

async function askFlip(route, verb, to, wishes = { widen: false, abort_open: false }) {
  const title = verb === 'cutover' ? `Cut over ${route.route} to the target?` : `Roll back ${route.route} to the source?`;
  dialogShows(title, [el('p', {}, 'Evaluating the gates…')], null, 'Cancel');
  try {
    const dryRun = await ask('POST', `/v1/routes/${encodeURIComponent(route.route)}/${verb}?dry_run=true&${wishQuery(wishes)}`, 60000);
    if (!find('dialog').open) return;
    if (dryRun.result === 'unchanged') return dialogShows(title, [el('p', { className: 'result' }, `Nothing to do: ${route.route} is at the ${to} already.`)], null, 'Close');
    const closed = dryRun.result === 'failed' || dryRun.gates.some((gate) => !gate.ok);
    const again = (changed) => askFlip(route, verb, to, changed);
    const body = [flipPlan(route, verb, to), wishBox(wishes, 'widen', 'Take over the topics of other routes that its transactions also write to', again),
      wishBox(wishes, 'abort_open', 'Abort transactions that do not end in time; their owners are fenced and have to start anew', again),
      el('h3', {}, 'Gates'), gateList(dryRun.gates),
      closed ? el('p', { className: 'result bad' }, dryRun.error || 'A gate is closed: the flip would be refused.') : null];
    dialogShows(title, body, { label: verb === 'cutover' ? 'Cut over now' : 'Roll back now', disabled: closed, act: () => runFlip(route.route, verb, wishes) }, 'Cancel');
  } catch (error) {
    dialogShows(title, [el('p', { className: 'result bad' }, error.message)], null, 'Close');
  }
}

function transactionList(title, transactions) {
  if (transactions.length === 0) return [];
  const rows = transactions.map((t) => [t.transactional_id, t.producer_id, t.producer_epoch, t.state, t.client_id || '–', t.peer || '–', t.topics.join(', ')]);
  return [el('h3', {}, title), el('div', { className: 'scroll' },
    table([['Transactional id'], ['Producer', 'number'], ['Epoch', 'number'], ['State'], ['Client id'], ['Address'], ['Topics']], rows))];
}

function flipResult(report) {
  const good = report.result === 'done' || report.result === 'unchanged';
  const words = { done: `${report.direction} done, generation ${report.generation}`, unchanged: 'Nothing to do', failed: `${report.direction} failed: ${report.error}` };
  const hold = report.hold_ms;
  const rows = (report.partitions || []).slice(0, 200).map((p) => [p.topic, p.partition, number.format(p.virtual_boundary),
    `${p.from.cluster} ${number.format(p.from.end_offset)}`, `${p.to.cluster} ${number.format(p.to.start_offset)}`]);
  return [el('p', { className: good ? 'result good' : 'result bad', 'data-result': report.result }, `${good ? '✔' : '✘'} ${words[report.result] || report.result}`),
    report.steps.length > 0 ? stepper('', report.steps) : null,
    hold.count > 0 ? el('p', {}, `${plural(hold.count, 'request')} held: p50 ${hold.p50} ms, p99 ${hold.p99} ms, longest ${hold.max} ms`) : null,
    report.added_topics.length > 0 ? el('p', {}, `Taken over from other routes: ${report.added_topics.join(', ')}`) : null,
    ...transactionList('Aborted; their owners are fenced', report.aborted), ...transactionList('Open transactions', report.open_transactions),
    el('h3', {}, 'Gates'), gateList(report.gates),
    rows.length > 0 ? el('h3', {}, `Boundaries (${plural(report.partition_count, 'partition')})`) : null,
    rows.length > 0 ? el('div', { className: 'scroll' }, table([['Topic'], ['Partition', 'number'], ['Virtual offset', 'number'], ['Closed', 'number'], ['Opened', 'number']], rows)) : null];
}

async function runFlip(route, verb, wishes) {
  const title = verb === 'cutover' ? `Cutting over ${route}` : `Rolling back ${route}`;
  const progress = el('div', {}, stepper(steps[0]));
  dialogShows(title, [progress], null, 'Close');
  let running = true;
  const watch = (async () => {
    while (running) {
      try {
        const status = await ask('GET', '/v1/status');
        const now = status.routes.find((r) => r.route === route);
        if (running && now && now.flip.running) progress.replaceChildren(stepper(now.flip.step));
        showStatus(status);
      } catch { /* the regular poll reports it */ }
      await delay(120);
    }
  })();
  try {
    const report = await ask('POST', `/v1/routes/${encodeURIComponent(route)}/${verb}?${wishQuery(wishes)}`, 150000);
    dialogShows(verb === 'cutover' ? `Cutover of ${route}` : `Rollback of ${route}`, flipResult(report), null, 'Close');
  } catch (error) {
    dialogShows(title, [el('p', { className: 'result bad' }, `${error.message}. The status shows whether it happened.`)], null, 'Close');
  }
  running = false;
  await watch;
  await Promise.allSettled([poll(), showLogs()]);
}

// --- polling ---

let lastStatus = null;

function showStatus(status) {
  lastStatus = status;
  showHeader(status);
  showRoutes(status);
  showWarnings(status, null);
}

async function poll() {
  try {
    const status = await ask('GET', '/v1/status');
    showStatus(status);
    showThroughput(status);
  } catch (error) {
    showWarnings(lastStatus, error.message);
  }
}

async function repeat(work, ms) {
  for (;;) {
    if (!document.hidden) await Promise.allSettled([work()]);
    await delay(ms);
  }
}

find('dialog-cancel').onclick = () => find('dialog').close();
find('log-route').onchange = showLogs;
find('log-topic').oninput = showLogs;
window.addEventListener('resize', () => showLogs().catch(() => {}));
poll().then(() => {
  repeat(poll, 1000);
  repeat(showLogs, 2000);
  repeat(showClients, 2000);
});
