#include "plugins/ping/probe.h"

TODD_REGISTER(todd::ping::Ping)
