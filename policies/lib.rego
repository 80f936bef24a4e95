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
