-- renew: executing -> executing, with a lease that ends later
--
-- ARGV[2]  lease, ms
-- ARGV[3]… pairs: key, token
-- Returns  the places (from 0) of the pairs that the worker holds no longer
-- Tells    nobody

local lost, ends = {}, now + ARGV[2]
for index = 3, #ARGV, 2 do
  local job = base .. 'job:' .. ARGV[index]
  local is = redis.call('HMGET', job, 'token', 'state', 'silent')
  if is_held_by(ARGV[index + 1], is) then
    if is[3] then redis.call('HDEL', job, 'silent') end
    put('leases', ends, ARGV[index])
  else
    lost[#lost + 1] = (index - 3) / 2
  end
end
deliver()
return lost
