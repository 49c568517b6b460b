/** The HTTP front door on real servers: what is pushed, what the gate commits about it, and what the answer says. */
import { Ajv2020 } from 'ajv/dist/2020.js';
import test, { type ExecutionContext } from 'ava';
import { runLedger } from '../../apps/ingestion-gate/ledger/index.ts';
import { serviceToken } from '../../apps/ingestion-gate/http/index.ts';
import { loadPolicies, receiptId, type Envelope } from '../../apps/rails/index.ts';
import { createLogger, nativeClient, OutgoingBatch, partitionOf, SchemaRegistry } from '../../lib/index.ts';
import { anchor, EVENTS, event, eventually, FrontDoorFixture, RUN, type Door } from './front-door-fixture.ts';

interface Receipt {
  readonly receipt_id: string;
  readonly decision: string;
  readonly reason_codes: readonly string[];
  readonly event_id: string | null;
  readonly payload_hash: string | null;
  readonly dedupe_key: string | null;
  readonly ingress: { readonly topic: string; readonly partition: number; readonly offset: number };
  readonly eb_ref: { readonly topic: string; readonly partition: number; readonly offset: number } | null;
  readonly original: { readonly receipt_id: string } | null;
}
interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly body: {
    readonly decision?: string;
    readonly receipt?: Receipt;
    readonly code?: string;
    readonly retryable?: boolean;
    readonly errors?: readonly { readonly field: string; readonly message: string }[];
    readonly answers?: readonly { readonly status: number; readonly body: Answer['body'] }[];
    readonly counts?: Readonly<Record<string, number>>;
    readonly [member: string]: unknown;
  };
}

let fixture: FrontDoorFixture;
let door: Door;
let validate: (path: string, method: string, answer: Answer) => string | undefined;
const stopLedger = new AbortController();
let ledger: Promise<void>;

test.before(async () => {
  fixture = await FrontDoorFixture.create();
  await fixture.applyTopology();
  fixture.start('gate', 'run');
  ledger = runLedger({
    settings: fixture.settings,
    signal: stopLedger.signal,
    logger: createLogger({ component: 'ledger-test', level: 'error' }),
  });
  door = await fixture.open();
  validate = await contract(door.url);
});

test.after.always(async () => {
  await door.close();
  stopLedger.abort();
  await ledger;
  await fixture.close();
});

/** Holds an answer against the served document: the status must be there, and the body fit its schema. */
async function contract(url: string): Promise<typeof validate> {
  const document = (await (await fetch(`${url}/openapi.json`)).json()) as {
    readonly paths: Readonly<
      Record<
        string,
        Readonly<
          Record<
            string,
            {
              readonly responses: Readonly<
                Record<string, { readonly content: Readonly<Record<string, unknown>> }>
              >;
            }
          >
        >
      >
    >;
  };
  const ajv = new Ajv2020({ strict: false });
  ajv.addSchema(document, 'openapi');
  const pointer = (text: string): string =>
    encodeURIComponent(text.replaceAll('~', '~0').replaceAll('/', '~1'));
  return (path, method, { status, headers, body }) => {
    const response = document.paths[path]?.[method]?.responses[status];
    if (response === undefined) return `${method} ${path} does not document ${status}`;
    const type = (headers.get('content-type') ?? '').split(';')[0]!;
    if (response.content[type] === undefined) return `${status} does not document ${type}`;
    const at = `openapi#/paths/${pointer(path)}/${method}/responses/${status}/content/${pointer(type)}/schema`;
    const check = ajv.compile({ $ref: at });
    return check(body) ? undefined : ajv.errorsText(check.errors);
  };
}

async function push(
  t: ExecutionContext,
  body: string | Buffer,
  options: {
    readonly url?: string;
    readonly type?: string;
    readonly headers?: Readonly<Record<string, string>>;
  } = {},
): Promise<Answer> {
  const response = await fetch(`${options.url ?? door.url}/v1/ingest/push`, {
    method: 'POST',
    headers: { 'content-type': options.type ?? 'application/json', ...options.headers },
    body,
  });
  const answer = {
    status: response.status,
    headers: response.headers,
    body: (await response.json()) as Answer['body'],
  };
  t.is(validate('/v1/ingest/push', 'post', answer), undefined);
  return answer;
}

async function lookup(t: ExecutionContext, query: string, url = door.url): Promise<Answer> {
  const response = await fetch(`${url}/v1/ops/lookup?${query}`);
  const answer = {
    status: response.status,
    headers: response.headers,
    body: (await response.json()) as Answer['body'],
  };
  t.is(validate('/v1/ops/lookup', 'get', answer), undefined);
  return answer;
}

const receiptsOf = ({ body }: Answer): readonly Receipt[] => body['receipts'] as readonly Receipt[];

test('CI-62 a push is answered with ADMIT only with the coordinates of the committed bus record', async (t) => {
  const sent = event('1001');
  const { status, body } = await push(t, JSON.stringify(sent));
  t.is(status, 202, JSON.stringify(body));
  t.is(body.decision, 'ADMIT');
  const { topics } = fixture.settings;
  t.is(body.receipt!.eb_ref!.topic, topics.traffic);
  t.is(body.receipt!.eb_ref!.partition, body.receipt!.ingress.partition);
  const { partition, offset } = body.receipt!.ingress;
  t.is(body.receipt!.receipt_id, receiptId(RUN, 'ADMIT', topics.ingress, partition, offset));
  t.is(body.receipt!.event_id, sent.event_id);
});

test('CI-63 the same event twice is a DUPLICATE, and the look-up joins the bus record of its original', async (t) => {
  const sent = JSON.stringify(event('1002'));
  const first = await push(t, sent);
  const second = await push(t, sent);
  t.is(second.status, 202);
  t.is(second.body.decision, 'DUPLICATE');
  t.is(second.body.receipt!.original!.receipt_id, first.body.receipt!.receipt_id);
  const found = await eventually(async () => {
    const answer = await lookup(t, `receipt_id=${second.body.receipt!.receipt_id}`);
    return answer.status === 200 ? receiptsOf(answer)[0] : undefined;
  }, 'the receipt of the duplicate');
  t.like(found, { decision: 'DUPLICATE', reason_codes: ['DUPLICATE'] });
  const { topic, partition, offset } = first.body.receipt!.eb_ref!;
  t.like(found.eb_ref, { topic, partition, offset: String(offset) });
});

test('CI-64 the same event id with another payload is quarantined as PAYLOAD_HASH_MISMATCH', async (t) => {
  const sent = event('1003');
  await push(t, JSON.stringify(sent));
  const answer = await push(t, JSON.stringify({ ...sent, payload: { ...sent.payload, amount: '99.99' } }));
  t.is(answer.status, 400);
  t.deepEqual(answer.body.receipt!.reason_codes, ['PAYLOAD_HASH_MISMATCH']);
  t.false(answer.body.retryable);
});

test('CI-65 one event pushed many times at once is admitted once', async (t) => {
  const sent = JSON.stringify(event('1004'));
  const answers = await Promise.all(Array.from({ length: 40 }, () => push(t, sent)));
  const decisions = answers.map(({ body }) => body.decision);
  t.is(decisions.filter((one) => one === 'ADMIT').length, 1);
  t.is(decisions.filter((one) => one === 'DUPLICATE').length, 39);
  const admitted = answers.find(({ body }) => body.decision === 'ADMIT')!.body.receipt!.receipt_id;
  for (const { body } of answers)
    if (body.decision === 'DUPLICATE') t.is(body.receipt!.original!.receipt_id, admitted);
  t.is(
    new Set(answers.map(({ body }) => body.receipt!.receipt_id)).size,
    40,
    'each push has a receipt of its own',
  );
});

test('CI-66 the same event in another platform run is admitted', async (t) => {
  await push(t, JSON.stringify(event('1005')));
  const other = await push(
    t,
    JSON.stringify(event('1005', 0, { platform_run_id: 'platform_20260106T000000Z' })),
  );
  t.is(other.body.decision, 'ADMIT');
});

test('CI-57 every line of a batch has exactly one outcome, in the order of the lines', async (t) => {
  const lines = [
    JSON.stringify(event('1010', 0)),
    '{"event_type": "s3_event_stream_with_fraud_6B", "event_id": ',
    JSON.stringify(event('1010', 1)),
    '',
    JSON.stringify(event('1010', 0)),
    JSON.stringify(event('1011', 0, { ts_utc: 'yesterday' })),
    JSON.stringify({ ...event('1012'), colour: 'red' }),
    'null',
  ];
  const { status, body } = await push(t, lines.join('\r\n'), { type: 'application/x-ndjson' });
  t.is(status, 207);
  t.is(body['events'], 7);
  const outcomes = body.answers!.map((one) => [
    one.status,
    one.body.decision,
    one.body.receipt!.reason_codes.join(),
  ]);
  t.deepEqual(outcomes, [
    [202, 'ADMIT', ''],
    [400, 'QUARANTINE', 'UNPARSEABLE'],
    [202, 'ADMIT', ''],
    [202, 'DUPLICATE', 'DUPLICATE'],
    [400, 'QUARANTINE', 'ENVELOPE_INVALID'],
    [400, 'QUARANTINE', 'UNPARSEABLE'],
    [400, 'QUARANTINE', 'UNPARSEABLE'],
  ]);
  const places = body.answers!.map(
    (one) => `${one.body.receipt!.ingress.partition}/${one.body.receipt!.ingress.offset}`,
  );
  t.is(new Set(places).size, 7);
  t.deepEqual(body.counts, { ADMIT: 2, DUPLICATE: 1, QUARANTINE: 4 });
});

test('CI-57 a batch that is admitted as a whole is answered 202, and keeps the order of a flow', async (t) => {
  const lines = Array.from({ length: 200 }, (_, seq) => JSON.stringify(event('1020', seq)));
  const { status, body } = await push(t, lines.join('\n'), { type: 'application/x-ndjson' });
  t.is(status, 202);
  const offsets = body.answers!.map((one) => one.body.receipt!.eb_ref!.offset);
  t.deepEqual(
    offsets,
    [...offsets].sort((a, b) => a - b),
  );
});

test('CI-61 what is no JSON, names no type or has no id still gets evidence that can be looked up', async (t) => {
  const inputs: readonly (readonly [string, string | Buffer, string])[] = [
    ['no JSON', 'not json', '(event)'],
    ['no UTF-8', Buffer.from([0xff, 0xfe, 0x31]), '(event)'],
    ['a list', '[1,2]', '(event)'],
    ['no type', '{}', 'event_type'],
    ['an unknown type', JSON.stringify(event('1030', 0, { event_type: 'nobody.knows' })), 'event_type'],
    ['no id', JSON.stringify({ ...event('1030'), event_id: undefined }), 'event_id'],
    ['a number for an id', JSON.stringify({ ...event('1030'), seed: 42 }), 'seed'],
    ['a zero byte first', Buffer.from([0, 0, 0, 0, 1, 2, 3]), '(event)'],
  ];
  for (const [what, input, field] of inputs) {
    const { status, body } = await push(t, input);
    t.is(status, 400, what);
    t.deepEqual(body.receipt!.reason_codes, ['UNPARSEABLE'], what);
    t.is(body.errors![0]!.field, field, what);
    const { topic, partition, offset } = body.receipt!.ingress;
    const found = await eventually(async () => {
      const answer = await lookup(t, `ingress=${topic}/${partition}/${offset}`);
      return answer.status === 200 ? receiptsOf(answer) : undefined;
    }, `the receipt of ${what}`);
    t.is(found.length, 1, what);
    t.is(found[0]!.receipt_id, body.receipt!.receipt_id, what);
  }
});

test('CI-61 bytes that look like an Avro record cannot slip past the door', async (t) => {
  const admitted = await push(t, JSON.stringify(event('1031')));
  const wire = Buffer.concat([Buffer.from([0, 0, 0, 0, 1]), Buffer.from(JSON.stringify(admitted.body))]);
  const { body } = await push(t, wire);
  t.deepEqual(body.receipt!.reason_codes, ['UNPARSEABLE']);
});

test('CI-72 a receipt is found by event, receipt, dedupe key, ingress coordinates and run, and by nothing else', async (t) => {
  const { body } = await push(t, JSON.stringify(event('1040')));
  const receipt = body.receipt!;
  const { topic, partition, offset } = receipt.ingress;
  const queries = [
    `event_id=${receipt.event_id!}`,
    `event_id=${receipt.event_id!}&platform_run_id=${RUN}`,
    `receipt_id=${receipt.receipt_id}`,
    `dedupe_key=${receipt.dedupe_key!}`,
    `ingress=${topic}/${partition}/${offset}`,
  ];
  for (const query of queries) {
    const found = await eventually(async () => {
      const answer = await lookup(t, query);
      return answer.status === 200 ? receiptsOf(answer) : undefined;
    }, query);
    t.deepEqual(
      found.map(({ receipt_id: id }) => id),
      [receipt.receipt_id],
      query,
    );
    t.is(found[0]!.payload_hash, receipt.payload_hash);
  }
  const elsewhere = await lookup(
    t,
    `event_id=${receipt.event_id!}&platform_run_id=platform_20200101T000000Z`,
  );
  t.is(elsewhere.status, 404);
  t.is((await lookup(t, '')).body.code, 'MISSING_QUERY');
  t.is((await lookup(t, `platform_run_id=${RUN}`)).body.code, 'MISSING_QUERY');
  t.is((await lookup(t, 'receipt_id=x')).body.code, 'INVALID_QUERY');
  t.is((await lookup(t, 'colour=red')).body.code, 'INVALID_QUERY');
});

test('CI-73 an API key proves the principal, two keys of one are valid at once, and the producer must be the principal', async (t) => {
  const keys = { old: 'old-key-0123456789', new: 'new-key-0123456789' };
  const locked = await fixture.open({
    auth: {
      IG_AUTH_MODE: 'api_key',
      IG_API_KEYS: `svc:world_stream_producer=${keys.old},svc:world_stream_producer=${keys.new},nobody=${'n'.repeat(20)}`,
    },
  });
  try {
    const send = (sent: object, key?: string): Promise<Answer> =>
      push(t, JSON.stringify(sent), {
        url: locked.url,
        headers: key === undefined ? {} : { 'x-ig-api-key': key },
      });
    const missing = await send(event('1050'));
    t.is(missing.status, 401);
    t.is((await send(event('1050'), 'wrong-key-0123456789')).status, 401);
    t.is((await send(event('1050'), keys.old)).body.decision, 'ADMIT');
    t.is((await send(event('1051'), keys.new)).body.decision, 'ADMIT');
    const other = await send(event('1052', 0, { producer: 'svc:scenario_runner' }), keys.new);
    t.is(other.status, 403);
    t.is(other.body.code, 'PRODUCER_MISMATCH');
    t.is((await send(event('1052', 0, { producer: undefined }), keys.new)).body.code, 'PRODUCER_MISMATCH');
    t.is(
      (await send(event('1052', 0, { event_type: 'run.ready' }), keys.new)).body.code,
      'EVENT_TYPE_NOT_ALLOWED',
    );
    t.is(
      (await send(event('1052', 0, { producer: 'nobody' }), 'n'.repeat(20))).body.code,
      'PRODUCER_NOT_ALLOWED',
    );
    const health = await fetch(`${locked.url}/v1/ops/health`);
    t.is(health.status, 401);
  } finally {
    await locked.close();
  }
});

test('CI-73 a service token is proven by any of the secrets, and by no other', async (t) => {
  const [old, next] = ['old-secret-0123456789', 'new-secret-0123456789'];
  const locked = await fixture.open({
    auth: { IG_AUTH_MODE: 'service_token', IG_SERVICE_TOKEN_SECRETS: `${next},${old}` },
  });
  try {
    const send = (flow: string, token: string): Promise<Answer> =>
      push(t, JSON.stringify(event(flow)), {
        url: locked.url,
        headers: { authorization: `Bearer ${token}` },
      });
    const principal = 'svc:world_stream_producer';
    t.is((await send('1060', serviceToken(old, principal))).status, 202);
    t.is((await send('1061', serviceToken(next, principal))).status, 202);
    t.is((await send('1062', serviceToken('another-secret-0123', principal))).status, 401);
    t.is((await send('1062', `${serviceToken(next, principal).slice(0, -1)}g`)).status, 401);
  } finally {
    await locked.close();
  }
});

test('CI-74 too large is 413, too many are 429 with Retry-After, and both say whether to try again', async (t) => {
  const small = await fixture.open({
    limits: { max_event_bytes: 2048, max_batch_bytes: 8192, max_batch_events: 3, requests_per_minute: 6 },
    waitForHealth: true,
  });
  try {
    const large = JSON.stringify({ ...event('1070'), trace_id: 'x'.repeat(4000) });
    const tooLarge = await push(t, large, { url: small.url });
    t.is(tooLarge.status, 413);
    t.false(tooLarge.body.retryable);
    t.is((await push(t, 'x'.repeat(10_000), { url: small.url })).status, 413);
    const long = Array.from({ length: 4 }, (_, seq) => JSON.stringify(event('1071', seq))).join('\n');
    const tooLong = await push(t, long, { url: small.url, type: 'application/x-ndjson' });
    t.is(tooLong.body.code, 'BATCH_TOO_LONG');
    const mixed = `${JSON.stringify(event('1072'))}\n${large}`;
    const { body } = await push(t, mixed, { url: small.url, type: 'application/x-ndjson' });
    t.deepEqual(
      body.answers!.map(({ status }) => status),
      [202, 413],
    );
    await push(t, JSON.stringify(event('1073')), { url: small.url });
    await push(t, JSON.stringify(event('1074')), { url: small.url });
    const limited = await push(t, JSON.stringify(event('1075')), { url: small.url });
    t.is(limited.status, 429);
    t.is(limited.body.code, 'RATE_LIMITED');
    t.true(limited.body.retryable);
    t.true(Number(limited.headers.get('retry-after')) >= 1);
  } finally {
    await small.close();
  }
});

test('CI-74 an outcome that does not come in time is 503 with the place of the event, and is not lost', async (t) => {
  const own = await FrontDoorFixture.create();
  try {
    await own.applyTopology();
    const gate = own.start('gate', 'run');
    const hasty = await own.open({ limits: { outcome_timeout_ms: 1500 } });
    try {
      t.is((await push(t, JSON.stringify(event('1080')), { url: hasty.url })).status, 202);
      // Frozen, not stopped: the group still has its member, so the door still believes in it.
      gate.kill('SIGSTOP');
      const late = await push(t, JSON.stringify(event('1081')), { url: hasty.url });
      gate.kill('SIGCONT');
      t.is(late.status, 503);
      t.is(late.body.code, 'OUTCOME_PENDING');
      t.true(late.body.retryable);
      t.true(Number(late.headers.get('retry-after')) >= 1);
      const at = late.body['ingress'] as Receipt['ingress'];
      const again = await eventually(async () => {
        const answer = await push(t, JSON.stringify(event('1081')), { url: hasty.url });
        return answer.status === 202 ? answer : undefined;
      }, 'the gate to go on');
      t.is(again.body.decision, 'DUPLICATE', 'the first push was admitted');
      t.is(
        again.body.receipt!.original!.receipt_id,
        receiptId(RUN, 'ADMIT', at.topic, at.partition, at.offset),
      );
    } finally {
      await hasty.close();
    }
  } finally {
    await own.close();
  }
});

test('CI-75 without a gate the door is RED and rejects; it turns GREEN when the gate comes', async (t) => {
  const own = await FrontDoorFixture.create();
  try {
    await own.applyTopology();
    const lone = await own.open({ waitForHealth: false });
    try {
      const red = await push(t, JSON.stringify(event('1090')), { url: lone.url });
      t.is(red.status, 503);
      t.is(red.body.code, 'IG_UNHEALTHY');
      t.true(red.body.retryable);
      t.true(Number(red.headers.get('retry-after')) >= 1);
      t.is((await fetch(`${lone.url}/healthz`)).status, 503);
      const health = (await (await fetch(`${lone.url}/v1/ops/health`)).json()) as {
        state: string;
        reasons: { code: string }[];
      };
      t.is(health.state, 'RED');
      t.true(health.reasons.some(({ code }) => code === 'GATE_NOT_RUNNING'));
      own.start('gate', 'run');
      await eventually(async () => {
        const answer = await fetch(`${lone.url}/v1/ops/health`);
        return ((await answer.json()) as { state: string }).state === 'GREEN' ? true : undefined;
      }, 'GREEN');
      t.is((await push(t, JSON.stringify(event('1090')), { url: lone.url })).body.decision, 'ADMIT');
    } finally {
      await lone.close();
    }
  } finally {
    await own.close();
  }
});

test('CI-71 a quarantined record that is re-ingested is decided anew, and both receipts name each other', async (t) => {
  const { topics, kafka } = fixture.settings;
  const schema = await new SchemaRegistry({ url: fixture.settings.schemaRegistry.url }).latest(
    `${topics.ingress}-${EVENTS}`,
  );
  const missing = { parent_event_id: null, trace_id: null, span_id: null, emitted_at_utc: null };
  const misplaced = { ...event('1100'), ...missing };
  const key = loadPolicies(fixture.settings.policies)
    .partitioning.profileOf(EVENTS)
    .key(misplaced as unknown as Envelope)!;
  const right = partitionOf(Buffer.from(key), 0, key.length, fixture.settings.partitions);
  const producer = nativeClient.createProducer({ 'bootstrap.servers': kafka.bootstrapServers });
  const wrong = (right + 1) % fixture.settings.partitions;
  const batch = new OutgoingBatch(1);
  batch.add({ topic: topics.ingress, partition: wrong, key, value: schema.encode(misplaced) });
  await producer.produce(batch);
  await producer.flush(10_000);
  const at = `${topics.ingress}/${wrong}/${producer.acknowledged(topics.ingress, wrong)}`;
  await producer.close(5_000);
  const receiptAt = (): Promise<Receipt> =>
    eventually(async () => {
      const answer = await lookup(t, `ingress=${at}`);
      return answer.status === 200 ? receiptsOf(answer)[0] : undefined;
    }, 'the receipt of the misplaced record');
  const original = await receiptAt();
  t.deepEqual(original.reason_codes, ['WRONG_PARTITION']);

  const explained = await fixture.run('gate', 'quarantine', 'explain', original.receipt_id);
  t.is(explained.code, 0, explained.output);
  t.regex(explained.output, /WRONG_PARTITION[\s\S]*murmur2[\s\S]*way out/);
  const { code, output } = await fixture.run(
    ...[
      'gate',
      'quarantine',
      'reingest',
      original.receipt_id,
      '--reason',
      'right partition',
      '--by',
      'operator',
    ],
  );
  t.is(code, 0, output);
  const { outcome } = JSON.parse(output) as {
    outcome: { decision: string; receipt_id: string; supersedes: unknown };
  };
  t.is(outcome.decision, 'ADMIT');
  t.like(outcome.supersedes, {
    receipt_id: original.receipt_id,
    requested_by: 'operator',
    reason: 'right partition',
  });
  t.like(await receiptAt(), { superseded_by: [{ receipt_id: outcome.receipt_id }] });
});

test('CI-68 CI-80 verify holds the bus against the ledger for one run, and fails when a receipt is missing', async (t) => {
  const run = 'platform_20260107T000000Z';
  const lines = [
    anchor('1110', { platform_run_id: run }),
    ...Array.from({ length: 4 }, (_, seq) => event('1110', seq, { platform_run_id: run })),
  ].map((one) => JSON.stringify(one));
  const { body } = await push(t, lines.join('\n'), { type: 'application/x-ndjson' });
  for (const { body: one } of body.answers!) {
    await eventually(async () => {
      const answer = await lookup(t, `receipt_id=${one.receipt!.receipt_id}`);
      return answer.status === 200 ? true : undefined;
    }, 'the receipt');
  }
  const verify = async (): Promise<{ code: number; verdict: string; admitted: number }> => {
    const { code, output } = await fixture.run('gate', 'verify', '--run', run, '--json');
    return { code, ...(JSON.parse(output) as { verdict: string; admitted: number }) };
  };
  t.like(await verify(), { code: 0, verdict: 'PASS', admitted: 5 });
  await fixture.database.pool.query(
    `delete from admitted_receipts where platform_run_id = $1 and receipt_hash = ledger_hash($2)`,
    [run, body.answers![2]!.body.receipt!.receipt_id],
  );
  t.like(await verify(), { code: 1, verdict: 'FAIL', admitted: 4 });
});

test('every route answers undocumented methods, types and paths with a problem', async (t) => {
  const expectProblem = async (path: string, init: RequestInit, status: number): Promise<void> => {
    const response = await fetch(`${door.url}${path}`, init);
    t.is(response.status, status, `${init.method ?? 'GET'} ${path}`);
    t.is(response.headers.get('content-type')?.split(';')[0], 'application/problem+json');
    t.is(((await response.json()) as { status: number }).status, status);
  };
  await expectProblem('/v1/ingest/push', { method: 'GET' }, 405);
  await expectProblem('/v1/ops/lookup', { method: 'DELETE' }, 405);
  await expectProblem('/v1/elsewhere', {}, 404);
  await expectProblem(
    '/v1/ingest/push',
    { method: 'POST', body: 'x', headers: { 'content-type': 'text/plain' } },
    415,
  );
  await expectProblem(
    '/v1/ingest/push',
    { method: 'POST', headers: { 'content-type': 'application/json' } },
    400,
  );
});
