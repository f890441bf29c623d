import { describeChangeFaults, describeFaults } from './every-fault.ts';

describeFaults('the real disk', 'in turn');
// The others take a minute together, and are swept with the crash tests.
describeChangeFaults('the real disk', 'in turn', ['a rollback', 'a removal']);
