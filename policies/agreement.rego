# METADATA
# title: Who may propose, sign, end and read a data-sharing agreement
# description: |
#   An agreement has two sides: the partner whose data it is, and the hub, for whom its steward or
#   operator signs. Each side signs for itself and either may end it. Those who watch over the hub
#   read every agreement; a partner reads its own.
package hub.agreement

import data.hub.lib

# METADATA
# title: The answer
# description: Allowed only if nothing refuses. Reasons are in alphabetical order.
# entrypoint: true
default decision := {"allow": false, "reasons": ["undecided"], "obligations": {}}

decision := {"allow": true, "reasons": [], "obligations": {}} if count(refused) == 0

decision := {"allow": false, "reasons": sort(refused), "obligations": {}} if count(refused) > 0

# METADATA
# title: The partner is named
refused contains "partner_missing" if not partner_named

partner_named if lib.named(input.partner)

# METADATA
# title: The action is one of the four
refused contains "action_unknown" if not action_listed

action_listed if input.action in ["propose", "sign", "end", "read"]

# METADATA
# title: Each side acts for itself
# description: Proposing and reading is for both; signing and ending only for one's own side.
refused contains "not_own_side" if {
	partner_named
	action_listed
	not may
}

may if {
	input.action in ["propose", "sign", "end"]
	input.side == "partner"
	lib.partner_itself(input.actor, input.partner)
	"push" in input.actor.scopes
}

may if {
	input.action in ["propose", "sign", "end"]
	input.side == "hub"
	input.actor.role in ["operator", "steward"]
}

may if {
	input.action == "read"
	lib.partner_itself(input.actor, input.partner)
}

may if {
	input.action == "read"
	input.actor.role in ["auditor", "dpo", "operator", "steward"]
}
