import { describeChangeFaults, describeFaults } from './every-fault.ts';

describeFaults('the real disk', 'in turn');
describeChangeFaults('the real disk', 'in turn');
