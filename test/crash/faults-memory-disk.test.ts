import { describeFaultCanary, describeFaults } from '../install/every-fault.ts';

describeFaults('the memory disk', 'each');
describeChangeFaults('the memory disk', 'each');
describeChangeFaults('the memory disk with an exchange', 'each');
describeFaultCanary('the memory disk');
