# METADATA
# title: Words the policies share
# description: |
#   Small checks used by several policies. They hold only of facts that are there and of the right
#   kind: a fact that is missing is never taken as satisfied.
package hub.lib

# METADATA
# title: A fact that is really given
# description: A text that is not empty. Null, nothing, or anything but a text is not a name.
named(fact) if {
	is_string(fact)
	fact != ""
}

# METADATA
# title: The hub's own operator, at its command line or with an operator's account
operator(actor) if actor.role == "operator"

# METADATA
# title: A partner acting for itself
# description: The organisation it was registered under is the one the question is about.
partner_itself(actor, partner) if {
	actor.role == "partner"
	named(partner)
	actor.organisation == partner
}

# METADATA
# title: A list that is not empty, in which every item is named
all_named(facts) if {
	count(facts) > 0
	count(facts) == count([fact | some fact in facts; is_string(fact); fact != ""])
}

# METADATA
# title: A number from a lowest to a highest, both included
# description: All three must be there and be numbers, for in Rego a text is more than any number.
within(number, lowest, highest) if {
	is_number(number)
	is_number(lowest)
	is_number(highest)
	lowest <= number
	number <= highest
}

# METADATA
# title: A number that is not less than another
at_least(number, lowest) if {
	is_number(number)
	is_number(lowest)
	number >= lowest
}

# METADATA
# title: The levels of protection of a table, by their strength
# description: |
#   `open`: a table about places, as it is. `volumes`: what an operator extrapolates, above its own
#   floor and rounded. `estimates`: what the publication plan does to figures about people, by
#   thresholds, merging and rounding. An agreement may ask for a stricter one than the plan does.
protections := {"estimates": 2, "open": 0, "volumes": 1}

# METADATA
# title: The strictest of the levels asked for
# description: There is none where nothing is asked for, or something that is no level.
strictest(asked) := known[0] if {
	known := [level | some level in ["estimates", "volumes", "open"]; level in asked]
	count(known) > 0
	count(asked) == count([level | some level in asked; protections[level]])
}

# METADATA
# title: A table's protection is at least what is asked for
protects(level, asked) if protections[level] >= protections[asked]
