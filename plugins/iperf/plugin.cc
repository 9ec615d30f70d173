#include "plugins/iperf/probe.h"

TODD_REGISTER(todd::iperf::Iperf)
