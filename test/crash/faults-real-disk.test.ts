import { describeChangeFaults, describeFaults } from './every-fault.ts';

describeFaults('the real disk', 'in turn');
// The other changes are swept in faults-of-changes.
describeChangeFaults('the real disk', 'in turn', ['a rollback', 'a removal']);
