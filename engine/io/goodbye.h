#pragma once
// Why a coordinator ends a link, as the agent must understand it: the first word of Goodbye.reason, before a
// colon and the text for people.

namespace todd::io {

inline constexpr char kGoodbyeStopping[] = "stopping";  // dial again, spread
inline constexpr char kGoodbyeReplaced[] = "replaced";  // another process with this identity connected
inline constexpr char kGoodbyeIdentityInvalid[] = "identity_invalid";  // not in the roster: join again

}  // namespace todd::io
