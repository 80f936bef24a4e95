# METADATA
# title: Who may end a person's consent or record an objection
# description: |
#   The person, with their code alone, without an account and without a reason (GDPR art. 7(3):
#   ending is as easy as giving), or by the form that takes a card number, which objects and tells
#   nothing. Else the partner that collected the consent, to whom the person said it; or the hub's
#   operator or data-protection officer, who take it on paper; or time, when a grant has run out.
package hub.withdraw

import data.hub.lib

# METADATA
# title: The answer
# description: Allowed only if nothing refuses. Reasons are in alphabetical order.
# entrypoint: true
default decision := {"allow": false, "reasons": ["undecided"], "obligations": {}}

decision := {"allow": true, "reasons": [], "obligations": {"receipt": true}} if count(refused) == 0

decision := {"allow": false, "reasons": sort(refused), "obligations": {}} if count(refused) > 0

# METADATA
# title: The partner at which consent was given is named
refused contains "partner_missing" if not partner_named

partner_named if lib.named(input.partner)

# METADATA
# title: One of the five ways
refused contains "way_unknown" if not way_known

way_known if input.via in ["code", "form", "partner", "cli", "time"]

# METADATA
# title: Through a partner, only the one that collected the consent
refused contains "not_own_organisation" if {
	input.via == "partner"
	not for_itself
}

for_itself if lib.partner_itself(input.actor, input.partner)

# METADATA
# title: Through a partner, with a token issued for consents
refused contains "scope_missing" if {
	input.via == "partner"
	not token_for_consents
}

token_for_consents if "consent" in input.actor.scopes

# METADATA
# title: At the command line, only the operator or the data-protection officer
refused contains "role_may_not_withdraw" if {
	input.via == "cli"
	not role_withdraws
}

role_withdraws if input.actor.role in ["operator", "dpo"]

# METADATA
# title: That time has run out is found by the hub's own worker
refused contains "role_may_not_withdraw" if {
	input.via == "time"
	not by_the_worker
}

by_the_worker if input.actor.role == "worker"
