-- tried: executing -> success or error, or queued after a pause: how a delivery went this time
--
-- ARGV[2]  key
-- ARGV[3]  token
-- ARGV[4]  state
-- ARGV[5]  status line
-- ARGV[6]  pause, ms
-- ARGV[7]  the try, as it is recorded (JSON)
-- Returns  1 if it was written, 0 if the worker holds the delivery no longer
-- Tells    workers, if it is to be tried again at once

local key, state = ARGV[2], ARGV[4]
local is = read(key)
if not is_held_by(ARGV[3], is) then return 0 end
note_try(key, ARGV[7])
if state == 'queued' then
  count('ended', is[5] .. ' ' .. state, 1)
  -- After a pause the reaper gives it a turn.
  if tonumber(ARGV[6]) == 0 then take_turn(key) end
  run_again(key, ARGV[5], tonumber(ARGV[6]))
else
  complete(key, is, state, ARGV[5], '[]')
end
deliver()
return 1
