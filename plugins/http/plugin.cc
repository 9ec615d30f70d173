#include "plugins/http/probe.h"

TODD_REGISTER(todd::http::Http)
