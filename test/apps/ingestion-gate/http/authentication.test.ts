import test from 'ava';
import { authentication, serviceToken } from '../../../../apps/ingestion-gate/http/authentication.ts';
import { ConfigError } from '../../../../lib/index.ts';

const SECRET = 'secret-0123456789';

const token = (text: string): Record<string, string> => ({ authorization: `Bearer ${text}` });

test('CI-73 a service token is the documented text, and proves its principal only', (t) => {
  const auth = authentication({ IG_AUTH_MODE: 'service_token', IG_SERVICE_TOKEN_SECRETS: SECRET }, 'prod');
  const good = serviceToken(SECRET, 'svc:a');
  t.is(
    serviceToken('a-shared-secret-of-the-vector', 'svc:world_stream_producer')
      .split('.')
      .slice(0, 3)
      .join('.'),
    'st.v1.c3ZjOndvcmxkX3N0cmVhbV9wcm9kdWNlcg',
  );
  t.is(auth.principalOf(token(good)), 'svc:a');
  const [, , , proof] = good.split('.') as [string, string, string, string];
  const principal = Buffer.from('svc:b').toString('base64url');
  t.is(auth.principalOf(token(`st.v1.${principal}.${proof}`)), undefined);
  t.is(auth.principalOf(token(good.replace('st.v1', 'st.v2'))), undefined);
  t.is(auth.principalOf(token(`${good}0`)), undefined);
  t.is(auth.principalOf({}), undefined);
  t.is(auth.principalOf({ authorization: good }), undefined);
  t.is(auth.principalOf(token('x'.repeat(100_000))), undefined);
});

test('CI-73 several keys and secrets are valid at once', (t) => {
  const keys = authentication(
    { IG_AUTH_MODE: 'api_key', IG_API_KEYS: 'a=aaaaaaaaaaaaaaaa, a=bbbbbbbbbbbbbbbb ,c=d=cccccccccccccccc' },
    'prod',
  );
  t.is(keys.principalOf({ 'x-ig-api-key': 'aaaaaaaaaaaaaaaa' }), 'a');
  t.is(keys.principalOf({ 'x-ig-api-key': 'bbbbbbbbbbbbbbbb' }), 'a');
  t.is(keys.principalOf({ 'x-ig-api-key': 'cccccccccccccccc' }), 'c=d');
  t.is(keys.principalOf({ 'x-ig-api-key': 'a' }), undefined);
  const rotated = authentication(
    { IG_AUTH_MODE: 'service_token', IG_SERVICE_TOKEN_SECRETS: `${SECRET},next-0123456789ab` },
    'prod',
  );
  for (const secret of [SECRET, 'next-0123456789ab'])
    t.is(rotated.principalOf(token(serviceToken(secret, 'p'))), 'p');
});

test('CI-73 CI-96 what is missing stops the start by the name of its variable and never shows a secret', (t) => {
  const refusal = (env: Record<string, string>, profile = 'prod'): string =>
    t.throws(() => authentication(env, profile), { instanceOf: ConfigError }).message;
  t.regex(refusal({}), /IG_AUTH_MODE/);
  t.regex(refusal({ IG_AUTH_MODE: 'jwt' }), /IG_AUTH_MODE/);
  t.regex(refusal({ IG_AUTH_MODE: 'api_key' }), /IG_API_KEYS/);
  t.regex(refusal({ IG_AUTH_MODE: 'service_token' }), /IG_SERVICE_TOKEN_SECRETS/);
  const shown = refusal({ IG_AUTH_MODE: 'api_key', IG_API_KEYS: 'principal=hunter2' });
  t.false(shown.includes('hunter2'));
  t.is(authentication({}, 'local').mode, 'disabled');
});
