#include "engine/base/privileges.h"

#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

namespace todd {

Status give_up_net_raw() {
  // A program of root's gets on execve() all that is in the bounding set. Whoever may not change that set
  // (EPERM) has no root to execute as.
  if (prctl(PR_CAPBSET_DROP, CAP_NET_RAW, 0, 0, 0) != 0 && errno != EPERM)
    return fail_errno(errno, "giving up CAP_NET_RAW");
  prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_LOWER, CAP_NET_RAW, 0, 0);
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct sets[_LINUX_CAPABILITY_U32S_3]{};
  if (syscall(SYS_capget, &header, sets) != 0) return fail_errno(errno, "reading capabilities");
  auto& set = sets[CAP_TO_INDEX(CAP_NET_RAW)];
  set.effective &= ~CAP_TO_MASK(CAP_NET_RAW);
  set.permitted &= ~CAP_TO_MASK(CAP_NET_RAW);
  set.inheritable &= ~CAP_TO_MASK(CAP_NET_RAW);
  if (syscall(SYS_capset, &header, sets) != 0) return fail_errno(errno, "giving up CAP_NET_RAW");
  return {};
}

}  // namespace todd
