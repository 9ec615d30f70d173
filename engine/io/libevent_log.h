#pragma once

namespace todd::io {

// What libevent has to say goes to our log instead of stderr: of its name servers and its own doings as
// debug, for a name that is not found is told with the test that needed it; its warnings and errors as such.
// Called before the first base is made; the first call counts. [any-thread]
void take_libevent_log();

}  // namespace todd::io
