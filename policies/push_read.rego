# METADATA
# title: Who may see how a push went
# description: |
#   The partner that sent it, the hub's operator and the data-protection officer. How many rows
#   reached a table is for the operator only: told to a partner, a file of one row would reveal
#   whether that pupil agreed.
package hub.push_read

import data.hub.lib

# METADATA
# title: The answer
# description: Allowed only if nothing refuses. Reasons are in alphabetical order.
# entrypoint: true
default decision := {"allow": false, "reasons": ["undecided"], "obligations": {}}

decision := {"allow": true, "reasons": [], "obligations": {"show_kept": show_kept}} if count(refused) == 0

decision := {"allow": false, "reasons": sort(refused), "obligations": {}} if count(refused) > 0

# METADATA
# title: The sender, the operator or the data-protection officer
refused contains "not_entitled" if not entitled

entitled if lib.partner_itself(input.actor, input.push.partner)

entitled if {
	input.actor.role in ["operator", "dpo"]
	lib.named(input.push.partner)
}

# METADATA
# title: Whether the rows that reached a table may be shown
default show_kept := false

show_kept if lib.operator(input.actor)
