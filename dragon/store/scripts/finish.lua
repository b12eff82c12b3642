-- finish: executing -> success or error
--
-- ARGV[2]  the worker's id, or '' if it offers nothing
-- ARGV[3]  the number of its offer
-- ARGV[4]  MessagePack: how many jobs it may be given in all, of each kind that has more room now
-- ARGV[5]… fives: key, token, state, status line, output files (JSON)
-- Returns  1 for each that ended, 0 for each that the worker holds no longer
-- Tells    whoever waits: the final status

local function offer_more(worker, number, limits)
  local offer = base .. 'offer:' .. worker
  for kind, limit in pairs(limits) do
    local is = redis.call('HMGET', offer, 'number', kind, kind .. ' given')
    -- One that tells less was under way for longer than another call.
    if is[1] == number and limit > tonumber(is[2]) then
      redis.call('HSET', offer, kind, limit)
      set_room(kind, worker, limit - is[3])
    end
  end
end

local answers = {}
for index = 5, #ARGV, 5 do
  local key, is = ARGV[index], read(ARGV[index])
  local is_held = is_held_by(ARGV[index + 1], is)
  if is_held then complete(key, is, ARGV[index + 2], ARGV[index + 3], ARGV[index + 4]) end
  answers[#answers + 1] = is_held and 1 or 0
end
if ARGV[2] ~= '' then offer_more(ARGV[2], ARGV[3], cmsgpack.unpack(ARGV[4])) end
deliver()
return answers
