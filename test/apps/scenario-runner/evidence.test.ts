import test from 'ava';
import fc from 'fast-check';
import { verdict, type Finding } from '../../../apps/scenario-runner/evidence.ts';

const finding = (severity: Finding['severity']): Finding => ({
  severity,
  code: severity === 'FAIL' ? 'GATE_FAIL' : 'EVIDENCE_CONFLICT',
  subject: 'gate',
  detail: 'detail',
});

test('CI-25 nothing found is no objection', (t) => {
  t.is(verdict([]), undefined);
});

test('CI-25 a conflict outweighs a failure, a failure outweighs what is missing', (t) => {
  fc.assert(
    fc.property(
      fc.array(fc.constantFrom('MISSING', 'FAIL', 'CONFLICT' as const), { minLength: 1 }),
      (severities) => {
        const { outcome, findings } = verdict(severities.map((severity) => finding(severity)))!;
        const expected = severities.includes('CONFLICT')
          ? 'CONFLICT'
          : severities.includes('FAIL')
            ? 'FAIL'
            : 'WAITING';
        return outcome === expected && findings.length === severities.length;
      },
    ),
  );
  t.is(verdict([finding('MISSING')])!.code, 'EVIDENCE_WAITING');
  t.is(verdict([finding('MISSING'), finding('FAIL')])!.code, 'GATE_FAIL');
});
