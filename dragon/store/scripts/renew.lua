-- renew: executing -> executing, with a lease that ends later
--
-- ARGV[2]  lease, ms
-- ARGV[3]… pairs: key, token
-- Returns  the places (from 0) of the pairs that the worker holds no longer
-- Tells    nobody

local lost, ends = {}, now + ARGV[2]
for index = 3, #ARGV, 2 do
  if holds(ARGV[index], ARGV[index + 1]) then
    put('leases', ends, ARGV[index])
  else
    lost[#lost + 1] = (index - 3) / 2
  end
end
deliver()
return lost
