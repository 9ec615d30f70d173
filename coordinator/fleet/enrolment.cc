#include "coordinator/fleet/enrolment.h"

#include "engine/base/clock.h"
#include "engine/io/join_token.h"

namespace todd::fleet {
namespace {
// Being in the roster is what counts; the certificate only carries the id and the key.
constexpr int kAgentDays = 3650;
}  // namespace

Result<EnrolledAgent> enrol(const EnrolRequest& request, const Authority& authority, Tokens& tokens,
                            Roster& roster, std::string& certificate_pem) {
  const auto secret = tokens.secret(request.token_id);
  if (!secret) return tl::unexpected(secret.error());
  if (request.tls_exporter.empty() ||
      !io::equal_constant_time(request.proof,
                               io::enrol_proof(*secret, request.tls_exporter, request.csr_pem))) {
    return fail(Errc::denied, "the proof of the join token is wrong; paste the whole token again");
  }
  if (auto good = check_agent_name(request.name); !good) return tl::unexpected(good.error());
  EnrolledAgent agent{.id = "a-" + io::random_hex(8),
                      .name = request.name,
                      .key_sha256_hex = {},
                      .enrolled_wall_ns = wall_ns(),
                      .facts = {}};
  if (roster.by_name(agent.name)) {
    return fail(
        Errc::exists,
        "an agent named " + agent.name +
            " is enrolled already; choose another --name, or take the old one out with `todd agents delete " +
            agent.name + "`");
  }
  auto signed_pem =
      io::sign_csr(authority.ca, request.csr_pem,
                   {.common_name = agent.id, .alt_names = {}, .server = false, .days = kAgentDays});
  if (!signed_pem) return tl::unexpected(signed_pem.error());
  auto key = io::spki_sha256_hex(*signed_pem);
  if (!key) return tl::unexpected(key.error());
  agent.key_sha256_hex = std::move(*key);
  if (auto used = tokens.use(request.token_id); !used) return tl::unexpected(used.error());
  if (auto entered = roster.put(agent); !entered) return tl::unexpected(entered.error());
  certificate_pem = std::move(*signed_pem);
  return agent;
}

}  // namespace todd::fleet
