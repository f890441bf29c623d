import { describeChangeFaults } from './every-fault.ts';

describeChangeFaults('the memory disk', 'in turn');
describeChangeFaults('the memory disk with an exchange', 'in turn');
